"""flwr's policy for requests that fail, as a node uses it: honest ends and short pauses."""

from itertools import islice

import httpx
import pytest

from fedstate.flower.fleet_client import retry_policy

REQUEST = httpx.Request("POST", "https://superlink/v1/fleet/x")


def calls(status: int) -> int:
    """Return how often a request is made that is refused so, before flwr's policy ends it."""
    count = 0

    def refuse() -> None:
        nonlocal count
        count += 1
        if count < 3:
            response = httpx.Response(status, request=REQUEST)
            raise httpx.HTTPStatusError("refused", request=REQUEST, response=response)

    retry_policy(0.001).invoke(refuse)
    return count


@pytest.mark.parametrize("status", [502, 503])
def test_what_passes_is_tried_again(status: int) -> None:
    assert calls(status) == 3


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_is_raised_at_once_and_interrupts_nothing(status: int) -> None:
    with pytest.raises(httpx.HTTPStatusError):
        calls(status)


@pytest.mark.parametrize("longest", [0.01, 0.5, 8.0])
def test_pauses_grow_up_to_the_longest(longest: float) -> None:
    pauses = list(islice(retry_policy(longest).wait_gen_factory(), 8))
    assert pauses[0] == min(1.0, longest)
    assert pauses == sorted(pauses)
    assert max(pauses) == longest
