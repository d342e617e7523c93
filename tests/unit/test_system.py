"""The kernel's answers become Python's errors."""

import errno

import pytest

from fedstate import system


def test_a_call_that_is_refused_raises() -> None:
    with pytest.raises(OSError, match=r"\[Errno") as caught:
        system.prctl(-1)
    assert caught.value.errno == errno.EINVAL


def test_a_call_that_does_not_exist_raises() -> None:
    with pytest.raises(OSError, match=r"\[Errno") as caught:
        system.system_call(100_000)
    assert caught.value.errno == errno.ENOSYS


def test_capabilities_are_those_that_the_kernel_shows() -> None:
    with open("/proc/self/status") as status:  # noqa: PTH123
        (shown,) = (line.split()[1] for line in status if line.startswith("CapEff:"))
    assert system.effective_capabilities() == int(shown, 16)
