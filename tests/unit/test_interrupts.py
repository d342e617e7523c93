import os
import signal

import pytest

from fedstate.interrupts import terminate_as_interrupt, uninterrupted


def test_sigterm_unwinds_as_ctrl_c_does() -> None:
    with terminate_as_interrupt(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    reached = []

    def step() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            reached.append("the end of the block")

    with pytest.raises(KeyboardInterrupt):
        step()
    assert reached


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with terminate_as_interrupt(), uninterrupted():
        pass
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
