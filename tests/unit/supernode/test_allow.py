"""A list of allowed apps: what it may say, what fits it, and what is wrong with it."""

import hashlib
from pathlib import Path

import pytest
from tests.unit.superlink_in_process import fab
from tests.unit.supernode.signing import Publisher

from fedstate.errors import SettingError
from fedstate.flower.runs import Fab
from fedstate.supernode.allow import read_allowed
from fedstate.supernode.fab_names import AppName

HASH = hashlib.sha256(fab()).hexdigest()
NAME = AppName("fedstate/app", "1.0.0")
MAYA = Publisher("fpk_maya")


def fits(file: Path, text: str, name: AppName | None = NAME, signed: bool = False) -> bool:
    file.write_text(f'[publishers]\n{MAYA.key_id} = "{MAYA.public_key}"\n{text}')
    content = fab()
    given = Fab(HASH, content, MAYA.sign(content) if signed else {})
    return any(entry.fits(given, HASH, name) for entry in read_allowed(file))


@pytest.mark.parametrize(
    ("entry", "fitting"),
    [
        (f'hash = "{HASH}"', True),
        (f'hash = "{HASH[:-1]}{"0" if HASH[-1] != "0" else "1"}"', False),
        ('app = "fedstate/app"', True),
        ('app = "fedstate/ap"', False),
        ('app = "Fedstate/app"', False),
        *(
            (f'app = "fedstate/app"\nversion = "{version}"', fitting)
            for version, fitting in {
                "1.0.0": True,
                "1.0": True,  # the same version, by PEP 440
                "1.0.1": False,
                ">=1,<2": True,
                "~=1.0": True,
                "!=1.0.0": False,
                ">1": False,
            }.items()
        ),
        # All that an entry asks for has to be there.
        (f'hash = "{HASH}"\napp = "fedstate/other"', False),
        (f'hash = "{HASH}"\napp = "fedstate/app"\nversion = "2"', False),
        (f'hash = "{HASH}"\nsigned-by = "{MAYA.key_id}"', False),
        # One entry that fits is enough.
        (f'app = "fedstate/other"\n[[allow]]\nhash = "{HASH}"', True),
    ],
)
def test_an_app_fits_an_entry_that_asks_for_what_it_has(
    tmp_path: Path, entry: str, fitting: bool
) -> None:
    assert fits(tmp_path / "allow.toml", f"[[allow]]\n{entry}") is fitting


def test_a_list_without_entries_allows_nothing(tmp_path: Path) -> None:
    assert not fits(tmp_path / "allow.toml", "")


@pytest.mark.parametrize("version", ["1.0.0rc1", "2.0.0.dev1", "not a version", "1.0.0; evil"])
def test_a_version_that_is_none_or_not_final_is_in_no_range(tmp_path: Path, version: str) -> None:
    entry = '[[allow]]\napp = "fedstate/app"\nversion = ">=0.1"'
    assert not fits(tmp_path / "allow.toml", entry, AppName("fedstate/app", version))


def test_an_app_that_does_not_say_what_it_is_fits_by_its_hash_alone(tmp_path: Path) -> None:
    assert fits(tmp_path / "allow.toml", f'[[allow]]\nhash = "{HASH}"', None)
    assert not fits(tmp_path / "allow.toml", '[[allow]]\napp = "fedstate/app"', None)


def test_a_signature_of_one_of_the_publishers_fits(tmp_path: Path) -> None:
    entry = f'[[allow]]\nsigned-by = ["{MAYA.key_id}"]'
    assert fits(tmp_path / "allow.toml", entry, signed=True)
    assert not fits(tmp_path / "allow.toml", entry)


@pytest.mark.parametrize(
    "signatures",
    [
        {"fpk_maya": "no JSON", "valid_license": "Valid"},
        {"fpk_maya": "{}", "valid_license": "Valid"},
        {"fpk_maya": '{"signed_at": -1, "signature": "?"}', "valid_license": "Valid"},
        {**MAYA.sign(b"another"), "valid_license": "Valid"},
        {**MAYA.sign(fab()), "valid_license": ""},
        {"fpk_other": MAYA.sign(fab())["fpk_maya"], "valid_license": "Valid"},
    ],
)
def test_a_signature_that_does_not_hold_fits_nothing(
    tmp_path: Path, signatures: dict[str, str]
) -> None:
    file = tmp_path / "allow.toml"
    file.write_text(
        f'[publishers]\nfpk_maya = "{MAYA.public_key}"\n[[allow]]\nsigned-by = "fpk_maya"'
    )
    (entry,) = read_allowed(file)
    assert not entry.fits(Fab(HASH, fab(), signatures), HASH, NAME)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[allow", "is not valid TOML"),
        ("[[allow]]", "entry 1 is empty, which would allow every app"),
        ("[allow]\nhash = 'x'", "begin each entry with \\[\\[allow\\]\\]"),
        ("[[deny]]", "has 'deny'; what it may have is"),
        ("[[allow]]\nname = 'x/y'", "entry 1 has 'name'; what it may have is hash, app"),
        (f"[[allow]]\nhash = '{HASH[:8]}'", "with 8 digits of 64: another app may have one"),
        (f"[[allow]]\nhash = '{HASH[:63]}'", "with 63 digits of 64"),
        (f"[[allow]]\nhash = '{HASH.upper()}'", "is not a SHA-256 in 64 lower-case"),
        ("[[allow]]\nhash = 7", "entry 1 has the hash 7, which is not a text"),
        ("[[allow]]\napp = 'keras'", "has the app 'keras', which is not publisher/name"),
        ("[[allow]]\nversion = '1'", "has the version '1' of no app; add 'app'"),
        ("[[allow]]\napp = 'x/y'\nversion = 'new'", "which is neither a version such as 1.2.0"),
        ("[[allow]]\nsigned-by = 'maya'", "signed-by 'maya', which \\[publishers\\] has no key"),
        ("[[allow]]\nsigned-by = []", "has \\[\\] for signed-by"),
        ("publishers = 1", "'publishers' is not a table"),
        ("[publishers]\nmaya = 'ssh-rsa AAAA'", "of publisher 'maya' is not an OpenSSH key"),
        ("[publishers]\nmaya = 7", "of publisher 'maya' is not an OpenSSH key"),
    ],
)
def test_a_list_that_is_wrong_is_said_in_one_sentence(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "allow.toml"
    file.write_text(text)
    with pytest.raises(SettingError, match=message) as raised:
        read_allowed(file)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_list_that_is_missing_or_no_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read \\(No such file"):
        read_allowed(tmp_path / "missing")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingError, match="is not valid TOML"):
        read_allowed(tmp_path / "bytes")
