"""Errors of client state, and what else some of them are."""

import pytest

from fedstate.errors import FedstateError
from fedstate.state import (
    StateDamagedError,
    StateEntryError,
    StateError,
    StateFitError,
    StateNameError,
    StateOwnerError,
    StateTypeError,
    StateUsageError,
    StateVersionError,
)


@pytest.mark.parametrize(
    ("error", "other"),
    [
        *((StateDamagedError, StateError), (StateFitError, StateError)),
        *((StateOwnerError, StateError), (StateVersionError, StateError)),
        *((StateTypeError, StateError), (StateUsageError, StateError)),
        *((StateNameError, KeyError), (StateEntryError, IndexError)),
    ],
)
def test_an_error_is_what_it_is_caught_as_and_shows_its_sentence(
    error: type[StateError], other: type[Exception]
) -> None:
    assert issubclass(error, StateError)
    assert issubclass(error, FedstateError)
    with pytest.raises(other) as caught:
        raise error("There is none.")
    assert str(caught.value) == "There is none."
