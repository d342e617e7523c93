"""Tokens: what is made, what is kept of it, and which headers carry one."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.accounts.errors import Refusal
from fedstate.accounts.tokens import (
    bearer_token,
    digest_of,
    new_token,
    revoked_token,
    unknown_token,
)


def test_a_token_is_new_and_has_256_random_bits() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"fedstate_[\w-]{43}", token) for token in tokens)


def test_what_is_kept_is_the_sha_256() -> None:
    assert digest_of("abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_a_token_comes_in_one_header(scheme: str) -> None:
    headers = [(b"host", b"x"), (b"authorization", f"{scheme}abc".encode())]
    assert bearer_token(headers) == "abc"


@pytest.mark.parametrize(
    "values",
    [
        *([], ["Bearer"], ["Bearer "], ["Basic abc"], ["abc"], [""], ["Bearer " + "x" * 257]),
        ["Bearer a", "Bearer a"],
    ],
)
def test_what_is_no_token_is_refused(values: list[str]) -> None:
    with pytest.raises(Refusal) as raised:
        bearer_token([(b"authorization", value.encode()) for value in values])
    assert (raised.value.status, raised.value.code) == (401, 36)


@given(value=st.binary(max_size=400))
def test_no_header_does_more_than_be_refused(value: bytes) -> None:
    with contextlib.suppress(Refusal):
        assert digest_of(bearer_token([(b"authorization", value)]))


def test_a_refusal_says_what_to_do() -> None:
    for refusal in (unknown_token(), revoked_token("alice")):
        assert refusal.status == 401
        assert "ask its operator for a token" in str(refusal)
    assert "'alice' was revoked" in str(revoked_token("alice"))
    assert Refusal.forbidden("no").status == 403
    assert Refusal.unavailable("no").status == 503
