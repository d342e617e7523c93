"""One bound on a Context holds wherever a Context passes."""

import ast
import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, RecordDict
from flwr.common.constant import FAB_MAX_SIZE

import fedstate
from fedstate import limits
from fedstate.executor.clientapp import ContextTooLargeError, check_size
from fedstate.flower.task_client import output_of
from fedstate.large.middleware import OUTPUT_ROUTE, LargeContexts

SOURCE = Path(fedstate.__file__).parent


def context(size: int) -> Context:
    state = RecordDict({"kept": ArrayRecord([np.zeros(size, dtype=np.uint8)])})
    return Context(1, 2, {}, state, {}, 3)


def status_of(body: bytes) -> int:
    """Return how the Runtime API's middleware answers an output."""
    statuses: list[int] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {"type": "http", "method": "POST", "path": OUTPUT_ROUTE, "headers": []}
    asyncio.run(LargeContexts(app)(scope, receive, send))
    (status,) = statuses
    return status


def test_the_app_and_the_supernode_refuse_the_same_contexts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for size in (5_000, 100_000):
        output = output_of(context(size))
        body = b"".join(bytes(piece) for piece in output)
        monkeypatch.setattr(limits, "CONTEXT_BYTES", len(body))
        check_size(output)
        assert status_of(body) == 200
        monkeypatch.setattr(limits, "CONTEXT_BYTES", len(body) - 1)
        with pytest.raises(ContextTooLargeError, match=f"at most {len(body) - 1} can be sent"):
            check_size(output)
        assert status_of(body) == 413


def test_the_largest_context_is_handed_out_with_the_largest_fab() -> None:
    beside = FAB_MAX_SIZE + 2**20  # the FAB's signatures and the run
    assert limits.CONTEXT_BYTES + beside < 2**31


def test_no_other_module_has_a_bound_of_its_own() -> None:
    """A number near protobuf's limit belongs into `fedstate.limits`."""
    own = []
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.BinOp | ast.Constant):
                continue
            try:
                number = eval(compile(ast.Expression(node), str(file), "eval"), {})  # noqa: S307
            except NameError:
                continue
            if isinstance(number, int) and 2**31 - 2**25 <= number <= 2**31:
                own.append(str(file.relative_to(SOURCE)))
    # A code of the kernel's is no number of bytes.
    assert set(own) - {"walls/filter.py"} == {"limits.py"}
