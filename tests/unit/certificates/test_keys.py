import stat
from pathlib import Path

import pytest

from fedstate.certificates.keys import ensure_node_key, ensure_secret, replace_node_key
from fedstate.errors import CertificateError
from fedstate.flower.control import load_public_key


def test_a_node_key_is_one_that_flower_takes(tmp_path: Path) -> None:
    assert load_public_key(ensure_node_key(tmp_path)).startswith(b"-----BEGIN PUBLIC KEY")


def test_a_node_key_is_never_replaced(tmp_path: Path) -> None:
    ensure_node_key(tmp_path)
    before = (tmp_path / "node.key").read_bytes()
    ensure_node_key(tmp_path)
    assert (tmp_path / "node.key").read_bytes() == before
    assert stat.S_IMODE((tmp_path / "node.key").stat().st_mode) == 0o600


def test_a_damaged_node_key_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "node.key").write_text("nonsense")
    with pytest.raises(CertificateError, match=r"node\.key is not an OpenSSH private key"):
        ensure_node_key(tmp_path)
    assert (tmp_path / "node.key").read_text() == "nonsense"


def test_a_lost_public_key_is_derived_again(tmp_path: Path) -> None:
    before = ensure_node_key(tmp_path).read_bytes()
    (tmp_path / "node.pub").unlink()
    assert ensure_node_key(tmp_path).read_bytes() == before


def test_a_key_that_is_replaced_is_kept(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"There is no .*node\.key"):
        replace_node_key(tmp_path)
    pairs = [ensure_node_key(tmp_path).read_bytes()]
    pairs += [replace_node_key(tmp_path).read_bytes() for _ in range(2)]
    assert len(set(pairs)) == 3
    for number in (1, 2):
        assert (tmp_path / f"replaced-{number}.pub").read_bytes() == pairs[number - 1]
    for name in ("node", "replaced-1", "replaced-2"):
        key, public = tmp_path / f"{name}.key", (tmp_path / f"{name}.pub").read_bytes()
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        (tmp_path / "alone" / name).mkdir(parents=True)
        (tmp_path / "alone" / name / "node.key").write_bytes(key.read_bytes())
        assert ensure_node_key(tmp_path / "alone" / name).read_bytes() == public
    assert len(list(tmp_path.iterdir())) == 7


def test_a_secret_is_private_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "superexec.secret"
    ensure_secret(file)
    before = file.read_bytes()
    ensure_secret(file)
    assert file.read_bytes() == before
    assert len(before) == 64
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_secret_without_content_is_said_and_stays(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    with pytest.raises(CertificateError, match="secret is empty"):
        ensure_secret(tmp_path / "secret")
    assert (tmp_path / "secret").read_text() == "\n"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "is missing"),
        (b"nonsense", "is not an OpenSSH public key"),
        (
            b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x",
            "is not an elliptic-curve key",
        ),
    ],
)
def test_a_public_key_that_cannot_be_used_is_named(
    tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    file = tmp_path / "node.pub"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CertificateError, match=f"node.pub {complaint}"):
        load_public_key(file)
