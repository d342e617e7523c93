"""Signals wake whoever waits, at once, and nobody else."""

import asyncio
import threading
import time

from fedstate.exchange.signals import Notifier, Signal


def never() -> bool:
    return False


def test_a_count_that_was_not_seen_is_told_at_once() -> None:
    signal = Signal()
    began = time.monotonic()
    assert asyncio.run(signal.wait(0, 60, never)) == signal.count
    assert time.monotonic() - began < 30


def test_a_wait_ends_when_another_thread_notifies() -> None:
    signal = Signal()
    seen = signal.count

    async def wait() -> int:
        asyncio.get_running_loop().call_later(
            0.05, lambda: threading.Thread(target=signal.notify).start()
        )
        return await signal.wait(seen, 60, never)

    began = time.monotonic()
    assert asyncio.run(wait()) == seen + 1
    assert time.monotonic() - began < 30
    assert not signal._waiting


def test_a_wait_for_several_ends_when_all_have_come() -> None:
    signal = Signal()
    seen = signal.count

    async def wait() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        for delay in (0.01, 0.02, 0.03):
            loop.call_later(delay, signal.notify)
        first = await signal.wait(seen, 60, never)
        return first, await signal.wait(first, 60, never, until=seen + 3)

    assert asyncio.run(wait()) == (seen + 1, seen + 3)
    assert asyncio.run(signal.wait(seen, 0.05, never, until=seen + 4)) == seen + 3


def test_many_wait_and_all_are_woken() -> None:
    signal = Signal()
    seen = signal.count

    async def wait() -> list[int]:
        waits = [asyncio.create_task(signal.wait(seen, 60, never)) for _ in range(50)]
        await asyncio.sleep(0)
        signal.notify()
        return await asyncio.gather(*waits)

    assert asyncio.run(wait()) == [seen + 1] * 50


def test_without_a_signal_a_wait_ends_in_time_and_leaves_nothing() -> None:
    signal = Signal()
    seen = signal.count
    assert asyncio.run(signal.wait(seen, 0.05, never)) == seen
    assert not signal._waiting


def test_a_server_that_closes_is_not_held_up() -> None:
    signal = Signal()
    began = time.monotonic()
    assert asyncio.run(signal.wait(signal.count, 60, lambda: True)) == signal.count
    assert time.monotonic() - began < 30


def test_a_later_server_counts_from_elsewhere() -> None:
    assert Signal().count != Signal().count != 0


def test_who_waits_looks_again_when_woken_and_nothing_is_counted() -> None:
    signal = Signal()
    seen, looks = signal.count, list[bool]()

    async def over() -> bool:
        looks.append(True)
        return len(looks) == 3

    async def wait() -> int:
        waiting = asyncio.create_task(signal.wait(seen, 60, never, over=over))
        while len(looks) < 3:
            signal.wake()
            await asyncio.sleep(0)
        return await waiting

    assert asyncio.run(asyncio.wait_for(wait(), 30)) == seen
    assert not signal._waiting


def test_soon_is_not_added_to_what_came_before_it() -> None:
    signal = Signal()
    seen = signal.count

    async def both() -> int:
        signal.notify_soon()
        signal.notify()
        return await signal.wait(seen + 1, 0.5, never)

    assert asyncio.run(both()) == seen + 1


def test_soon_comes_when_nothing_else_does() -> None:
    signal = Signal()
    seen = signal.count

    async def alone() -> int:
        signal.notify_soon()
        return await signal.wait(seen, 60, never)

    assert asyncio.run(alone()) == seen + 1


def test_only_a_request_that_succeeds_gives_a_signal() -> None:
    given: list[str] = []

    async def app(scope, receive, send):  # type: ignore[no-untyped-def]
        status = 403 if scope["path"] == "/refused" else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: object) -> None:
        given.append("answer")

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def ask(*paths: str) -> None:
        notifier = Notifier(
            app,
            {
                "/done": lambda: given.append("signal"),
                "/refused": lambda: given.append("signal"),
            },
        )
        for path in paths:
            await notifier({"type": "http", "path": path}, receive, send)

    asyncio.run(ask("/done", "/refused", "/other"))
    assert given.count("signal") == 1
