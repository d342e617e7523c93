"""The ClientApp: runs probes, or one of the bombs, as the message asks."""

import json

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from . import bombs, forgeries, leftovers  # noqa: F401  they register themselves
from .attacks import PROBES
from .registry import Hints, run_probes

app = ClientApp()


@app.query("probes")
def probes(message: Message, context: Context) -> Message:
    """Run the probes of a ClientApp; answer with their reports."""
    hints = Hints(**json.loads(str(message.content.config_records["ask"]["hints"])))
    names = [name for name, each in PROBES.items() if "client" in each.sides]
    reports = [json.dumps(report) for report in run_probes(hints, names)]
    return _answer(message, reports)


@app.query("bomb")
def bomb(message: Message, context: Context) -> Message:
    """Let one bomb go off; answer with how far it came, if it comes to answering."""
    ask = message.content.config_records["ask"]
    hints = json.loads(str(ask["hints"]))
    # A bomb of several kinds is asked for by its name, a slash and the kind.
    name, _, hints["kind"] = str(ask["bomb"]).partition("/")
    return _answer(message, [bombs.BOMBS[name](hints)])


def _answer(message: Message, lines: list[str]) -> Message:
    return Message(RecordDict({"answer": ConfigRecord({"lines": lines})}), reply_to=message)
