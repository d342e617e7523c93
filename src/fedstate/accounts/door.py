"""The door of the Control API: who calls is known, and may, before the call's body is read."""

import json
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedstate.accounts.account import Account
from fedstate.accounts.accounts import Accounts
from fedstate.accounts.audit import AuditLog, shortened
from fedstate.accounts.errors import Refusal
from fedstate.accounts.roles import PREFIX, check_path, check_role
from fedstate.accounts.streams import LastWords, answer_while_admitted

# Where what is inside finds the account of a request, in the request's state.
ACCOUNT = "fedstate_account"
# ... and leaves, for the audit log, what the call is about, and why it was refused.
DETAILS = "fedstate_details"
REASON = "fedstate_reason"


class ControlDoor:
    """Middleware that asks each call of the Control API for its account, and logs the call.

    It is plain ASGI, and around everything else: what is inside, Flower's event log with it, is
    not reached by a call that is refused.

    Parameters
    ----------
    app : ASGI application
        What is behind the door.
    accounts : Accounts, optional
        Without them anybody may make every call, as at Flower's own SuperLink.
    audit : AuditLog
        Where each call is written.
    last_words : callable
        What ends an answer that goes on when its account is revoked.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        accounts: Accounts | None,
        audit: AuditLog,
        last_words: LastWords = lambda _, sentence: sentence.encode(),
    ) -> None:
        self._app = app
        self._accounts = accounts
        self._audit = audit
        self._last_words = last_words

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        account: Account | None = None
        if self._accounts is not None:
            try:
                check_path(scope["path"])
                account = self._accounts.authenticate(scope["headers"])
                state[ACCOUNT] = account
                check_role(account, scope["path"])
            except Refusal as refusal:
                state[REASON] = str(refusal)
                self._write(scope, account, refusal.status)
                await answer(send, refusal, close=True)
                return
        written = False

        async def noting(message: Message) -> None:
            nonlocal written
            if message["type"] == "http.response.start" and not written:
                written = True
                self._write(scope, account, message["status"])
            await send(message)

        try:
            await self._answer(scope, receive, noting)
        except BaseException:
            if not written:
                self._write(scope, account, 500)
            raise

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        accounts = self._accounts
        if accounts is None:
            await self._app(scope, receive, send)
            return
        await answer_while_admitted(
            self._app,
            *(scope, receive, send),
            check=lambda: check_role(accounts.authenticate(scope["headers"]), scope["path"]),
            last_words=self._last_words,
        )

    def _write(self, scope: Scope, account: Account | None, status: int) -> None:
        state = scope["state"]
        peer = scope.get("client")
        entry: dict[str, Any] = {
            "account": account and account.name,
            "role": account and account.role.value,
            "peer": f"{peer[0]}:{peer[1]}" if peer else None,
            "call": shortened(scope["path"].removeprefix(PREFIX)),
            **state.get(DETAILS, {}),
            "status": status,
            "outcome": _outcome(status),
        }
        if REASON in state:
            entry["reason"] = state[REASON]
        self._audit.write(entry)


def _outcome(status: int) -> str:
    if status < 400:
        return "allowed"
    return "refused" if status < 500 else "failed"


async def answer(send: Send, refusal: Refusal, *, close: bool = False) -> None:
    """Answer a request with a refusal, in the format of Flower's errors.

    Parameters
    ----------
    send : ASGI callable
        Takes the answer.
    refusal : Refusal
        Why the request is refused.
    close : bool
        Whether to end the connection, since the body has not been read.
    """
    body = json.dumps({"code": refusal.code, "detail": str(refusal)}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if refusal.status == 401:
        # Not the bare word, at which Flower's client asks for a new token first and then shows
        # what is said to that, in the place of this answer.
        headers.append((b"www-authenticate", b'Bearer realm="SuperLink"'))
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
