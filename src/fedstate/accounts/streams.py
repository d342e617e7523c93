"""Answers that go on, such as a run's log: they end when the account that asked is no longer one.

Every other call is answered at once, and its account is asked for when it begins.
"""

import asyncio
from collections.abc import Callable

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedstate.accounts.errors import Refusal

# How long an answer goes on that should not.
LOOK_SECONDS = 2.0

# Returns what is sent at the end of an answer that is ended, for its path and the reason.
LastWords = Callable[[str, str], bytes]


async def answer_while_admitted(
    app: ASGIApp,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    check: Callable[[], object],
    last_words: LastWords,
) -> None:
    """Have an application answer a request, for as long as whoever has sent it is admitted.

    An answer that has not begun is not ended: what the call does was allowed.

    Parameters
    ----------
    app : ASGI application
        The application.
    scope, receive, send
        The request, as ASGI has it.
    check : callable
        Raises `Refusal` when the request would not be let in any longer.
    last_words : callable
        What is sent then.
    """
    begun = False
    refused: Refusal | None = None

    async def noting(message: Message) -> None:
        nonlocal begun
        begun = True
        await send(message)

    async def look(answer: anyio.CancelScope) -> None:
        nonlocal refused
        while refused is None:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                check()
            except Refusal as refusal:
                if begun:
                    refused = refusal
                    answer.cancel()

    with anyio.CancelScope() as answer:
        looking = asyncio.create_task(look(answer))
        try:
            await app(scope, receive, noting)
        finally:
            looking.cancel()
    if refused is not None and answer.cancelled_caught:
        body = last_words(scope["path"], str(refused))
        await send({"type": "http.response.body", "body": body})
