"""The files that Compose and the builds read agree with each other; no engine is needed."""

import json
import os
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fedstate.supernode.options import options_parser
from tests.stack.conftest import ROOT

COMPOSE_FILES = [ROOT / "docker-compose.yml", *sorted((ROOT / "compose").glob("*.yml"))]
DOCKERFILES = [ROOT / "Dockerfile.superlink", ROOT / "Dockerfile.supernode"]
# Compose fills these in by itself.
OF_COMPOSE = {"COMPOSE_PROJECT_NAME", "PWD"}


def test_every_setting_is_in_the_example_with_its_default() -> None:
    example = dict(
        line.split("=", 1)
        for line in (ROOT / ".env.example").read_text().splitlines()
        if line and not line.startswith("#")
    )
    text = "".join(file.read_text() for file in COMPOSE_FILES)
    read = re.findall(r"(?<!\$)\$\{?(\w+)(?::-([^}]*))?", text)
    assert {name for name, _ in read} - OF_COMPOSE == set(example)
    for name, default in read:
        if name not in OF_COMPOSE:
            assert default.replace("$PWD", "") == example[name], name


def new_node(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = shutil.copy(ROOT / "compose" / "new-node.sh", directory)
    return subprocess.run(["sh", script, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", range(1, 9))
def test_every_node_is_as_the_script_writes_it(number: int, tmp_path: Path) -> None:
    assert new_node(tmp_path, str(number)).returncode == 0
    name = f"node-{number}.yml"
    assert (tmp_path / name).read_text() == (ROOT / "compose" / name).read_text()


@pytest.mark.parametrize("wrong", ["", "0", "-1", "two", "1.5", "07"])
def test_a_wrong_node_number_is_said(wrong: str, tmp_path: Path) -> None:
    answer = new_node(tmp_path, wrong)
    assert answer.returncode == 1
    assert answer.stderr == (
        f"fedstate: '{wrong}' is no node number; give 1, 2, 3, ..., "
        "as in: sh compose/new-node.sh 9\n"
    )
    assert not list(tmp_path.glob("*.yml"))


def test_both_images_share_their_stages() -> None:
    # The same text means the same layers: TensorFlow is installed and stored once.
    one, other = (
        re.split(r"^# -+$", file.read_text(), maxsplit=1, flags=re.MULTILINE)[0].split("\n", 1)[1]
        for file in DOCKERFILES
    )
    assert "FROM ${PYTHON_IMAGE} AS base" in one
    assert one == other


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_images_stand_on_the_official_python_alone(file: Path) -> None:
    text = file.read_text()
    assert "ARG PYTHON_IMAGE=python:3.13-slim-trixie\n" in text
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", text, flags=re.MULTILINE))
    bases = set(re.findall(r"^FROM (\S+)", text, flags=re.MULTILINE))
    assert bases - stages == {"${PYTHON_IMAGE}"}
    assert "# syntax=" not in text, "it would be pulled from a registry"


def config_of_compose(**settings: str) -> dict[str, Any]:
    """Return what Compose makes of the files."""
    if not shutil.which("docker"):
        pytest.skip("Docker Compose is what reads these files")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("FEDSTATE_")
    }
    told = subprocess.run(
        ["docker", "compose", "--env-file", "/dev/null", "config", "--format", "json"],
        cwd=ROOT,
        env={**environment, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    config: dict[str, Any] = json.loads(told.stdout)
    return config


def test_every_container_logs_in_the_form_that_is_set_and_bounded() -> None:
    services = config_of_compose(FEDSTATE_LOG_FORMAT="json")["services"]
    of_images = {name for name in services if name.endswith("-image")}
    for name in services.keys() - of_images:
        assert services[name]["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name
        assert services[name]["environment"]["FEDSTATE_LOG_FORMAT"] == "json", name


def test_what_runs_print_is_shared_by_an_executor_and_its_supernode_alone() -> None:
    readers: dict[str, set[str]] = {}
    for name, service in config_of_compose()["services"].items():
        for volume in service.get("volumes", ()):
            if volume["target"] == "/var/lib/fedstate/output":
                readers.setdefault(volume["source"], set()).add(name)
    assert readers == {
        "serverapp-output": {"serverapp"},
        **{f"node-{k}-output": {f"supernode-{k}", f"executor-{k}"} for k in (1, 2, 3)},
    }


OPTIONS = {
    "FEDSTATE_KEEP": ("--keep", "10"),
    "FEDSTATE_FROM_RUN": ("--from-run", "same-app"),
    "FEDSTATE_RETAIN": ("--retain", "30d"),
    "FEDSTATE_RETAIN_SIZE": ("--retain-size", "20G"),
    "FEDSTATE_RESERVE": ("--reserve", "64M"),
    "FEDSTATE_BACKUP": ("--backup", "backups/node-2"),
    "FEDSTATE_BACKUP_EVERY": ("--backup-every", "1h"),
    "FEDSTATE_BACKUP_KEEP": ("--backup-keep", "3"),
    "FEDSTATE_ALLOW": ("--allow", "/etc/fedstate/allow.toml"),
    "FEDSTATE_STATE_KEY": ("--state-key", "/etc/fedstate/state.key"),
}


def of_supernode_2(directory: Path, **settings: str) -> tuple[list[str], dict[str, str]]:
    """Return what the second node's container starts, and what of this machine it sees."""
    service = config_of_compose(**settings)["services"]["supernode-2"]
    shell, option, script = service["command"]
    told = directory / "fedstate"
    told.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    told.chmod(0o755)
    # Compose writes `$$` where the container has `$`.
    done = subprocess.run(
        [shell, option, script.replace("$$", "$")],
        env={"PATH": f"{directory}:{os.defpath}", **service["environment"]},
        capture_output=True,
        text=True,
        check=True,
    )
    mounts = {each["target"]: each["source"] for each in service["volumes"]}
    return done.stdout.splitlines(), mounts


def test_every_option_of_supernodes_reaches_them(tmp_path: Path) -> None:
    settings = {name: value for name, (_, value) in OPTIONS.items()}
    settings |= {"FEDSTATE_BACKUP": "/srv/backups", "FEDSTATE_ALLOW": "/srv/allow.toml"}
    settings["FEDSTATE_STATE_KEY"] = "/srv/state.key"
    arguments, mounts = of_supernode_2(tmp_path, **settings)
    assert arguments.pop(0) == "supernode"
    pairs = set(pairwise(arguments))
    assert set(OPTIONS.values()) <= pairs
    assert mounts["/var/lib/fedstate/backups"] == "/srv/backups"
    assert mounts["/etc/fedstate/state.key"] == "/srv/state.key"
    options_parser().parse_args(arguments)


def test_without_settings_a_supernode_has_the_defaults(tmp_path: Path) -> None:
    (_, *arguments), mounts = of_supernode_2(tmp_path)
    assert mounts["/var/lib/fedstate/backups"] == "/dev/null"
    parser = options_parser()
    ours, default = parser.parse_args(arguments), parser.parse_args(["--insecure"])
    for option, _ in OPTIONS.values():
        name = option.removeprefix("--").replace("-", "_")
        assert getattr(ours, name) == getattr(default, name), option


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"FEDSTATE_FLEET_HOST": "link.example 192.0.2.7"}, (None, "8001")),
        (
            {"FEDSTATE_FLEET_HOST": "link.example", "FEDSTATE_FLEET_PUBLISH": "192.0.2.7:9092"},
            ("192.0.2.7", "9092"),
        ),
    ],
)
def test_the_fleet_api_is_published_when_the_operator_asks(
    settings: dict[str, str], expected: tuple[str | None, str] | None
) -> None:
    services = config_of_compose(**settings)["services"]
    superlink = services["superlink"]
    published = {
        port["target"]: (port.get("host_ip"), port["published"]) for port in superlink["ports"]
    }
    assert published.pop(8000) == ("127.0.0.1", "8000")
    assert published == ({8001: expected} if expected else {})
    # The same variable opens the port on that network, and is in the certificate.
    host = settings.get("FEDSTATE_FLEET_HOST", "")
    for service in (superlink, services["certs"]):
        assert service["environment"]["FEDSTATE_FLEET_HOST"] == host
