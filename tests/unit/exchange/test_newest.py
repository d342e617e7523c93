"""Of a client's requests the newest hands out, and one at a time."""

import asyncio

from fedstate.exchange.newest import Newest


def test_only_the_newest_request_of_a_client_hands_out() -> None:
    async def run() -> None:
        newest = Newest()
        with newest.request(1) as first, newest.request(2) as other:
            async with first() as may:
                assert may
            with newest.request(1) as second:
                async with first() as may:
                    assert not may
                async with second() as may, other() as theirs:
                    assert may
                    assert theirs
            async with first() as may:
                assert not may, "it is not the newest again"
        assert not newest._clients

    asyncio.run(run())


def test_requests_of_a_client_hand_out_one_after_the_other() -> None:
    async def run() -> None:
        newest = Newest()
        order: list[str] = []
        with newest.request("a") as first:
            began, goes_on = asyncio.Event(), asyncio.Event()

            async def hand_out() -> None:
                async with first() as may:
                    assert may
                    order.append("first")
                    began.set()
                    await goes_on.wait()
                    order.append("first ends")

            handing = asyncio.create_task(hand_out())
            await began.wait()
            with newest.request("a") as second:

                async def next_one() -> None:
                    async with second() as may:
                        assert may
                        order.append("second")

                waiting = asyncio.create_task(next_one())
                await asyncio.sleep(0)
                goes_on.set()
                await asyncio.gather(handing, waiting)
        assert order == ["first", "first ends", "second"]

    asyncio.run(run())
