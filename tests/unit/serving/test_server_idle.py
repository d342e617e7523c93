"""A server that has nothing to do does nothing, and ends as soon as it is told to."""

import asyncio
import os
import signal
import threading
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from tests.unit.serving.test_server import HOST, Application, running, url
from tests.waiting import wait_until

from fedstate.exchange.signals import Signals
from fedstate.local.process import free_port
from fedstate.serving.server import Listener, Server


class Waiting(Application):
    """An application with a request that waits for an event as SuperNodes and executors do."""

    def __init__(self) -> None:
        super().__init__()
        self.server: Server | None = None
        self.signals = Signals(
            closing=lambda: self.server is not None and self.server.should_exit
        )
        self.app.get("/v1/event")(self._event)

    async def _event(self) -> str:
        seen = self.signals.messages.count
        await self.signals.messages.wait(seen, 600, self.signals.closing)
        return "over"


def wakes_of(thread: threading.Thread) -> int:
    """Return how often a thread has waited so far."""
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_an_idle_server_does_not_wake_and_a_wait_ends_with_it() -> None:
    served = Waiting()
    here = Listener("API", HOST, free_port())
    server = served.server = Server(served.app, [here], log_config=None)
    server.on_exit.append(served.signals.wake)
    answers: list[str] = []
    before_it = set(threading.enumerate())
    with running(server):
        client = threading.Thread(
            target=lambda: answers.append(httpx.get(url(here, "/v1/event"), timeout=60).text)
        )
        client.start()
        wait_until(lambda: served.signals.messages._waiting)
        started = set(threading.enumerate()) - before_it
        (thread,) = (each for each in started if each.name.endswith("(run)"))

        def idles() -> bool:
            before, began = wakes_of(thread), time.monotonic()
            wait_until(lambda: time.monotonic() - began > 0.5)
            return wakes_of(thread) - before <= 2

        # The last of what the request before has caused may come late.
        assert wait_until(idles), "uvicorn's own loop wakes ten times a second"
        server.should_exit = True
        client.join(30)
    assert answers == ['"over"']


def test_a_signal_ends_a_server() -> None:
    served = Application()
    server = Server(served.app, [Listener("API", HOST, free_port())], log_config=None)
    asyncio.run(_ended_by_a_signal(server))
    assert served.lifespans == ["begun", "ended"]


async def _ended_by_a_signal(server: Server) -> None:
    server.open()
    # uvicorn raises the signal again once it has ended.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signal, "raise_signal", lambda _: None)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 30)


def test_answers_have_the_date_of_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Listener("API", HOST, free_port())
    with running(Server(Application().app, [here], log_config=None)):
        for seconds in (1_000_000_000, 1_000_000_007):
            with monkeypatch.context() as patch:
                clock = SimpleNamespace(time=lambda now=seconds: now + 0.5)
                patch.setattr("fedstate.serving.server.time", clock)
                date = httpx.get(url(here, "/health")).headers["date"]
            assert parsedate_to_datetime(date).timestamp() == seconds
