"""Each API has a port of its own, and an app reaches that of its own API alone."""

import pytest

from fedstate.local.ports import Ports


def test_every_api_has_a_port_of_its_own() -> None:
    ports = Ports.free(3, control=4711, split=True)
    every = [ports.control, ports.fleet, ports.runtime, *ports.nodes]
    assert len(ports.nodes) == 3
    assert len({*every}) == len(every)
    assert ports.superlink_options == [
        *("--control", "127.0.0.1:4711"),
        *("--fleet", f"127.0.0.1:{ports.fleet}"),
        *("--runtime", f"127.0.0.1:{ports.runtime}"),
    ]


def test_one_port_is_as_flwr_has_it() -> None:
    ports = Ports.free(2, control=4711, split=False)
    assert (ports.control, ports.fleet, ports.runtime) == (4711, 4711, 4711)
    assert len({*ports.nodes} - {4711}) == 2
    assert ports.superlink_options == ["--host", "127.0.0.1", "--port", "4711"]


@pytest.mark.parametrize("split", [True, False])
def test_all_but_its_own_api_is_closed_to_an_app(split: bool) -> None:
    ports = Ports.free(2, control=None, split=split)
    every = {ports.control, ports.fleet, ports.runtime, *ports.nodes}
    for api in (ports.runtime, *ports.nodes):
        closed = ports.closed_to(api)
        assert sorted(closed) == sorted(every - {api})
