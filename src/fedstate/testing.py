"""Running the handlers of a ClientApp in a unit test, without a federation.

>>> client = Client(app)  # doctest: +SKIP
>>> replies = client.rounds(3)  # doctest: +SKIP
>>> with client.state() as state:  # doctest: +SKIP
...     assert state.history("loss").rounds == [1, 2, 3]
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from flwr.app import ConfigRecord, Context, Message, Metadata, RecordDict
from flwr.clientapp import ClientApp

from fedstate.flower.contexts import context_from_bytes, context_to_bytes
from fedstate.state import ClientState, StateTypeError, client_state, open_state

Handler = Callable[[Message, Context], Message]
Value = bool | int | float | str

_SERVER = 1


class Client:
    """One client of a run: it carries its Context from step to step as Flower does.

    After each step the Context goes through protobuf, as do the contents of messages and replies,
    so that a test sees what the next step of a real client would see.

    Parameters
    ----------
    app : ClientApp | Callable[[Message, Context], Message]
        The app, or one handler, around which the mod `client_state` is put.
    run_id, node_id : int
        Whose Context it is.
    node_config, run_config : Mapping[str, bool | int | float | str] | None
        What the handler finds in its Context.

    Attributes
    ----------
    context : Context
        The Context as the next step will get it.
    """

    def __init__(
        self,
        app: ClientApp | Handler,
        *,
        run_id: int = 1,
        node_id: int = 1,
        node_config: Mapping[str, Value] | None = None,
        run_config: Mapping[str, Value] | None = None,
    ) -> None:
        if not callable(app):
            raise StateTypeError(
                f"Client was given a {type(app).__name__}; give it a ClientApp, or a handler: a "
                "function of a Message and a Context."
            )
        self._app = app if isinstance(app, ClientApp) else _app_of(app)
        self._numbers = itertools.count(1)
        self._round = 0
        self.context = Context(
            run_id, node_id, dict(node_config or {}), RecordDict(), dict(run_config or {}), 0
        )

    def step(
        self,
        action: str = "train",
        content: RecordDict | None = None,
        *,
        server_round: int | None = None,
    ) -> Message:
        """Run one step and return its reply.

        Parameters
        ----------
        action : str
            The type of the message: ``train``, ``evaluate``, ``query``, or with a name, as in
            ``train.personalise``.
        content : RecordDict | None
            What the server sends.
        server_round : int | None
            The round; None stands for the next one of a training, and for the last one of
            everything else.

        Raises
        ------
        Exception
            Whatever the handler raises; the Context is then as it was before the step.
        """
        if server_round is None:
            server_round = self._round + action.startswith("train")
        message = self._message(action, content, server_round)
        context = _carried(self.context)
        reply = self._app(message, context)
        if reply.has_content():
            reply.content = self._content(reply.content)
        self.context, self._round = _carried(context), max(self._round, server_round)
        return reply

    def rounds(
        self,
        count: int,
        content: RecordDict | Callable[[int], RecordDict] | None = None,
        *,
        action: str = "train",
    ) -> list[Message]:
        """Run a step in each of several rounds, and return the replies.

        Parameters
        ----------
        count : int
            How many rounds.
        content : RecordDict | Callable[[int], RecordDict] | None
            What the server sends each time, or a function of the round that returns it.
        action : str
            As in `step`.
        """
        replies = []
        for server_round in range(self._round + 1, self._round + 1 + count):
            sent = content(server_round) if callable(content) else content
            replies.append(self.step(action, sent, server_round=server_round))
        return replies

    @contextmanager
    def state(self) -> Iterator[ClientState]:
        """Open the client's state, to look at it or to prepare it; changes are kept."""
        context = _carried(self.context)
        with open_state(self._message("query", None, self._round), context) as opened:
            yield opened
        self.context = _carried(context)

    def _message(self, action: str, content: RecordDict | None, server_round: int) -> Message:
        content = self._content(RecordDict() if content is None else content)
        if not any("server-round" in record for record in content.config_records.values()):
            # The strategies put it into a record that is there; a test may send none.
            name = "config" if "config" in content.config_records else "fedstate.testing"
            config = dict(content.config_records.get(name, {}))
            content[name] = ConfigRecord({**config, "server-round": server_round})
        metadata = Metadata(
            run_id=self.context.run_id,
            message_id=f"message-{next(self._numbers)}",
            src_node_id=_SERVER,
            dst_node_id=self.context.node_id,
            reply_to_message_id="",
            group_id="",
            created_at=time.time(),
            ttl=3600.0,
            message_type=action,
        )
        # The form in which flwr makes the messages that it received; it is not in the overloads.
        return Message(content=content, metadata=metadata)  # type: ignore[call-overload, no-any-return]

    def _content(self, content: RecordDict) -> RecordDict:
        """Return the content of a message as it arrives: it goes through protobuf, too."""
        run_id, node_id = self.context.run_id, self.context.node_id
        return _carried(Context(run_id, node_id, {}, content, {}, 0)).state


def _carried(context: Context) -> Context:
    return context_from_bytes(context_to_bytes(context))


def _app_of(handler: Handler) -> ClientApp:
    app = ClientApp(mods=[client_state()])
    for register in (app.train(), app.evaluate(), app.query()):
        register(handler)
    return app
