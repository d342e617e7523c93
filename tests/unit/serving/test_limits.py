"""The limits that nobody has to set."""

import resource

import pytest

from fedstate.limits import PROTOBUF_BYTES
from fedstate.serving.limits import Limits, affordable_connections


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [(resource.RLIM_INFINITY, 8192), (2**20, 8192), (4096, 3840), (1024, 768), (256, 128)],
)
def test_connections_leave_descriptors_for_the_rest(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, connections: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert affordable_connections() == connections


def test_the_largest_message_is_protobufs() -> None:
    assert Limits().message_bytes == PROTOBUF_BYTES == 2**31 - 1
