"""What has ended is asked for when something may have, and by one for all."""

import asyncio
import threading

from fedstate.exchange.ends import Ends


class Server:
    """A server in which tasks and runs end; it notes what it was asked."""

    def __init__(self, again_seconds: float | None = None) -> None:
        self.ended: set[int] = set()
        self.asked: list[list[int]] = []
        self.woken = 0
        self.ends = Ends(lambda _: [], self.ask, self.wake, again_seconds=again_seconds)

    def ask(self, ids: list[int]) -> set[int]:
        self.asked.append(ids)
        return self.ended & set(ids)

    def wake(self) -> None:
        self.woken += 1

    def runs(self, *ids: int) -> list[int]:
        return asyncio.run(self.ends.among([], ids))[1]


def test_what_goes_on_is_asked_for_once_until_something_ends() -> None:
    server = Server()
    for _ in range(3):
        assert server.runs(1, 2) == []
    assert server.runs(1, 2, 3) == []
    assert server.asked == [[1, 2], [3]]
    server.ended.add(2)
    assert server.runs(1, 2) == [], "nobody has said so"
    server.ends.notify()
    assert server.runs(1, 2) == [2]
    assert server.asked == [[1, 2], [3], [1, 2]]


def test_what_has_ended_is_not_asked_for_again() -> None:
    server = Server()
    server.ended.add(2)
    assert server.runs(2) == [2]
    server.ends.notify()
    assert server.runs(2) == [2]
    assert server.asked == [[2]]


def test_nothing_is_asked_for_who_names_nothing() -> None:
    server = Server()
    assert server.runs() == []
    assert server.asked == []


def test_of_many_that_are_woken_one_asks() -> None:
    server = Server()

    async def look() -> None:
        await asyncio.gather(*(server.ends.among([], [1, 2, 3]) for _ in range(50)))

    asyncio.run(look())
    assert server.asked == [[1, 2, 3]]


def test_what_ends_while_the_server_is_asked_is_asked_for_again() -> None:
    server = Server()

    def ask(ids: list[int]) -> set[int]:
        server.asked.append(ids)
        if len(server.asked) == 1:
            server.ended.add(1)  # after this question was answered
            server.ends.notify()
            return set()
        return server.ended & set(ids)

    server.ends._runs._ask = ask
    assert server.runs(1) == []
    assert server.runs(1) == [1]


def test_what_ends_in_silence_is_found_after_a_while() -> None:
    server = Server(again_seconds=0.0)
    assert server.runs(1) == []
    server.ended.add(1)
    assert server.runs(1) == [1]


def test_every_notification_counts_and_wakes_from_whatever_thread() -> None:
    server = Server()
    before = server.ends.count
    assert before
    threads = [threading.Thread(target=server.ends.notify) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (server.ends.count, server.woken) == (before + 10, 10)


def test_what_is_kept_of_the_past_is_bounded() -> None:
    server = Server()
    server.ended |= set(range(1, 30_000, 2))
    for first in range(1, 30_000, 100):
        ended = server.runs(*range(first, first + 100))
        assert ended == list(range(first, first + 100, 2))
    assert len(server.ends._runs._ended) + len(server.ends._runs._going) < 25_000
