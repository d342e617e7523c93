"""The digest of a state depends on its content and on nothing else."""

import hashlib
import itertools

from fedstate.witness.digests import CHUNK_BYTES, chunk_digests, state_digest


def test_the_chunks_of_a_blob_are_digested_one_by_one() -> None:
    blob = bytes(CHUNK_BYTES) + b"rest"
    assert chunk_digests(blob) == [
        hashlib.sha256(bytes(CHUNK_BYTES)).digest(),
        hashlib.sha256(b"rest").digest(),
    ]
    assert chunk_digests(b"") == []


def test_no_two_states_have_the_same_digest() -> None:
    a, b = chunk_digests(b"a"), chunk_digests(b"b")
    blobs_of: list[list[list[bytes]]] = [
        [],
        [[]],
        [[], []],
        [a],
        [b],
        [a, b],
        [b, a],
        [a + b],
        [[], a],
        [a, []],
    ]
    states = [(text, blobs) for text in (b"", b"x", b"xa") for blobs in blobs_of]
    digests = [state_digest(*state) for state in states]
    for one, other in itertools.combinations(range(len(states)), 2):
        assert digests[one] != digests[other], (states[one], states[other])


def test_a_digest_is_the_same_for_ever() -> None:
    """Receipts are kept: what a release says of a state, the next one has to say as well."""
    assert (
        state_digest(b"", []).hex()
        == "c2b1d63bb4d58e4707951220dba24d208e8997eedaf6bda0ef966a02421ae601"
    )
    assert (
        state_digest(b"d", [chunk_digests(b"a"), []]).hex()
        == "c11a475ada64c9777f5be1409ae0ef9647a5c9f0bb58b4c1490b5f5766fd9f81"
    )
