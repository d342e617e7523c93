"""Encryption at rest: what is on the disk, wrong keys, and rotation."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from fedstate.store.cipher import KEY_BYTES, AesGcmCipher, PlainCipher, read_key
from fedstate.store.errors import StoreKeyError
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value

SECRET = b"a patient's weight " * 500


def written(directory: Path, key: bytes | None) -> bytes:
    with closing(NodeStore(directory, key=key)) as store:
        run = StoredRun(run_id=1, series_id=1, fab_hash="fab", finished_at=None)
        store.add_run(run, Value(b"record"), Value(b"fab"), Value(SECRET[:19], [SECRET]))
    return (directory / "node.db").read_bytes()


def test_an_encrypted_store_does_not_show_what_is_in_it(tmp_path: Path) -> None:
    assert SECRET[:19] in written(tmp_path / "plain", None)
    assert SECRET[:19] not in written(tmp_path / "encrypted", os.urandom(KEY_BYTES))


@pytest.mark.parametrize(
    ("created", "opened", "message"),
    [
        (b"1" * 32, b"2" * 32, "is not the key of this node store"),
        (b"1" * 32, None, "no key was given"),
        (None, b"2" * 32, "is not encrypted, .* first, with .fedstate state encrypt"),
    ],
)
def test_a_wrong_key_is_one_clear_error(
    tmp_path: Path, created: bytes | None, opened: bytes | None, message: str
) -> None:
    written(tmp_path, created)
    with pytest.raises(StoreKeyError, match=message):
        NodeStore(tmp_path, key=opened)
    with closing(NodeStore(tmp_path, key=created)) as store:
        assert store.context(1) is not None


def test_after_a_rotation_only_the_new_key_opens_the_store(tmp_path: Path) -> None:
    old, new = os.urandom(KEY_BYTES), os.urandom(KEY_BYTES)
    written(tmp_path, old)
    with closing(NodeStore(tmp_path, key=old)) as store:
        with pytest.raises(StoreKeyError):
            store.rotate_key(new, old)
        store.rotate_key(old, new)
    with pytest.raises(StoreKeyError):
        NodeStore(tmp_path, key=old)
    with closing(NodeStore(tmp_path, key=new)) as store:
        assert store.context(1) == Value(SECRET[:19], [SECRET])


def test_a_store_without_encryption_has_no_key_to_rotate(tmp_path: Path) -> None:
    written(tmp_path, None)
    with (
        closing(NodeStore(tmp_path)) as store,
        pytest.raises(StoreKeyError, match="not encrypted"),
    ):
        store.rotate_key(b"1" * 32, b"2" * 32)


def test_what_was_altered_is_not_decrypted() -> None:
    cipher = AesGcmCipher(os.urandom(KEY_BYTES))
    stored = bytearray(cipher.encrypt(b"weights"))
    assert cipher.decrypt(bytes(stored)) == b"weights"
    stored[-1] ^= 1
    with pytest.raises(ValueError, match="authentication failed"):
        cipher.decrypt(bytes(stored))


def test_addresses_depend_on_the_key() -> None:
    digests = {AesGcmCipher(key * 32).digest(b"layer") for key in (b"1", b"2")}
    assert len(digests | {PlainCipher().digest(b"layer")}) == 3


def test_a_key_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("ab" * KEY_BYTES + "\n")
    assert read_key(path) == b"\xab" * KEY_BYTES


@pytest.mark.parametrize("content", ["", "ab" * 31, "no digits", "é" * 64])
def test_a_file_that_is_no_key_is_refused_with_the_way_to_make_one(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    with pytest.raises(StoreKeyError, match="openssl rand -hex 32"):
        read_key(path)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreKeyError, match="nowhere' cannot be read"):
        read_key(tmp_path / "nowhere")
