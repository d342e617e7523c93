"""What every program of a local federation is started with."""

from pathlib import Path

import pytest

from fedstate.local.programs import environment, located, tls_options


def test_programs_are_found_without_an_activated_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PATH")
    program = Path(located(["fedstate", "supernode"])[0])
    assert program.exists()
    assert environment(Path("flwr"))["PATH"].startswith(f"{program.parent}:")


@pytest.mark.parametrize(("given", "used"), [(None, "3"), ("0", "0"), ("2", "2")])
def test_tensorflow_is_quiet_unless_the_user_has_chosen(
    monkeypatch: pytest.MonkeyPatch, given: str | None, used: str
) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    if given is not None:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", given)
    assert environment(Path("flwr"))["TF_CPP_MIN_LOG_LEVEL"] == used


def test_each_has_its_own_certificate_and_secret() -> None:
    here, there = (tls_options(Path(name)) for name in ("here", "there"))
    pairs = zip(here, there, strict=True)
    assert [name for name in here if name.startswith("here/")] == [
        mine for mine, theirs in pairs if mine != theirs
    ]
