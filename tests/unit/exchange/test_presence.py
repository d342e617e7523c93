"""Tasks are lost when no executor names them any longer, and only then."""

import asyncio

from fedstate.exchange.presence import Presence

GRACE_SECONDS = 0.05


class Asked:
    """An executor's requests, one after the other, and what was called lost."""

    def __init__(self) -> None:
        self.lost: list[int] = []
        self._presence = Presence(self.lost.extend, GRACE_SECONDS)

    async def request(self, *task_ids: int, seconds: float = 0.0) -> None:
        with self._presence.holding(task_ids):
            await asyncio.sleep(seconds)

    async def until_lost(self) -> None:
        while not self.lost:
            await asyncio.sleep(GRACE_SECONDS)


def test_what_nobody_names_is_lost() -> None:
    asked = Asked()

    async def one() -> None:
        await asked.request(1, 2)
        await asked.until_lost()

    asyncio.run(asyncio.wait_for(one(), 30))
    assert asked.lost == [1, 2]
    assert not asked._presence._named_by


def test_what_is_named_again_is_not_lost() -> None:
    asked = Asked()

    async def two() -> None:
        await asked.request(1, 2)
        await asked.request(2, seconds=10 * GRACE_SECONDS)

    asyncio.run(asyncio.wait_for(two(), 30))
    assert asked.lost == [1]


def test_another_executor_does_not_speak_for_the_first() -> None:
    asked = Asked()

    async def first_ends() -> None:
        second = asyncio.create_task(asked.request(2, seconds=60))
        await asked.request(1)
        await asked.until_lost()
        second.cancel()

    asyncio.run(asyncio.wait_for(first_ends(), 30))
    assert asked.lost == [1]
