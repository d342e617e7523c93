"""Submitters and their own runs: what is known of a call when its message has been read."""

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedstate.accounts.account import Account, Role
from fedstate.accounts.audit import details_of
from fedstate.accounts.door import ACCOUNT, DETAILS, REASON, answer
from fedstate.accounts.errors import Refusal
from fedstate.accounts.roles import PREFIX, Access, access_to

# Refuses a message of an account, if what it names is not the account's own.
Check = Callable[[Account, Any], None]


class OwnRuns:
    """Middleware that lets submitters at their own runs alone; it is behind `ControlDoor`.

    It belongs where a request's message has been read, right around the handler.

    Parameters
    ----------
    app : ASGI application
        What is behind it.
    check : callable
        Is given an account and its message, and raises `Refusal` if the account may not send it.
    """

    def __init__(self, app: ASGIApp, *, check: Check) -> None:
        self._app = app
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        request = state.get("protobuf_request")
        state[DETAILS] = details_of(request)
        account = state.get(ACCOUNT)
        if (
            isinstance(account, Account)
            and account.role is not Role.OPERATOR
            and access_to(scope["path"]) is Access.OWN_RUNS
        ):
            try:
                await run_in_threadpool(self._check, account, request)
            except Refusal as refusal:
                state[REASON] = str(refusal)
                await answer(send, refusal)
                return

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Flower takes the answer's message away before it sends it.
                state[DETAILS] = details_of(request, state.get("protobuf_response"))
            await send(message)

        await self._app(scope, receive, noting)
