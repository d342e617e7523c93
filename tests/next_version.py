"""Run the seam tests against Flower's next version, and report which seams have moved.

``make test-next`` runs it. The environment is one of its own, ``.venv-next``: our package on a
nightly of flwr in place of the version that it is pinned to. What is reported is for
``docs/upgrading-flwr.md``, whose table says which seam a test belongs to.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from tests.contract.flower.private_names import ROOT, Seam, seams

NIGHTLY = "1.43.0.dev20261026"
ENVIRONMENT = ROOT / ".venv-next"
TESTS = Path("tests/contract/flower")
# Whatever waits this long for a message waits for one that does not come.
TEST_SECONDS = 20
WIDTH = 110
# They look at our sources, whatever the version.
_ABOUT_SOURCES = ("test_private_names.py", "test_door.py")
_NOT_NEEDED = {"fedstate", "flwr", "mypy", "ruff", "types-PyYAML"}


@dataclass(frozen=True)
class Failure:
    """A test that failed, without its parameters, and why in one line."""

    test: str
    reason: str

    def seams(self, known: list[Seam]) -> str:
        """Return the seams that the test belongs to: those that name it, or else its file."""
        file = self.test.partition("::")[0]
        for found in (
            [seam.title for seam in known if self.test in seam.tests],
            [seam.title for seam in known if seam.tests[0] == file],
            [seam.title for seam in known if file in seam.tests],
        ):
            if found:
                return ", ".join(found)
        return "-"


def requirements() -> list[str]:
    """Return what the tests need beside flwr, as pyproject.toml has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    return [each for each in needed if re.split(r"[^\w-]", each)[0] not in _NOT_NEEDED]


def prepare(version: str) -> Path:
    """Make the environment, unless it is there with this version; return its Python."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "ok"
    wanted = "\n".join([f"flwr-nightly=={version}", *requirements()])
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"Making {ENVIRONMENT.name} with flwr-nightly {version}.", flush=True)
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        install = [str(python), "-m", "pip", "install", "-qq"]
        subprocess.run([*install, *wanted.splitlines()], check=True)
        # Without its dependencies: they pin the version that is in use.
        subprocess.run([*install, "--no-deps", "--editable", str(ROOT)], check=True)
        stamp.write_text(wanted)
    return python


def run_tests(python: Path) -> tuple[int, list[Failure]]:
    """Run the seam tests; return how many there were and those that failed."""
    environment = {
        **os.environ,
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "PYTHONPATH": str(ROOT / "src"),
    }
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        command = [str(python), "-m", "pytest", "-q", "--tb=no", "--no-summary"]
        command += [
            "--continue-on-collection-errors",
            "-o",
            f"timeout={TEST_SECONDS}",
            "-W",
            "ignore",
            f"--junitxml={report}",
        ]
        command += [*(f"--ignore={TESTS / name}" for name in _ABOUT_SOURCES), str(TESTS)]
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        if done.returncode not in (0, 1):
            return 0, []  # pytest has said why
        return read(report)


def read(report: Path) -> tuple[int, list[Failure]]:
    """Return how many tests a report of pytest's has, and those that failed, each once."""
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))  # noqa: S314  our own
    failures: dict[str, Failure] = {}
    for case in cases:
        problem = next((e for kind in ("failure", "error") for e in case.iter(kind)), None)
        if problem is None:
            continue
        # A file that cannot be collected is a case of its own, with its path as its name.
        place = str(case.get("classname") or case.get("name")).split(".")
        file = next((part for part in reversed(place) if part.startswith("test_")), place[-1])
        name = str(case.get("name")).partition("[")[0]
        is_test = bool(case.get("classname"))
        test = f"{file}.py::{name}" if is_test else f"{file}.py"
        failures.setdefault(test, Failure(test, reason_of(problem)))
    return len(cases), list(failures.values())


def reason_of(problem: ElementTree.Element) -> str:
    """Return why a test failed, in one line."""
    lines = [line[1:].strip() for line in (problem.text or "").splitlines() if line[:2] == "E "]
    first = lines[0] if lines else (problem.get("message") or "").split("\n")[0]
    text = re.sub(r"\s+", " ", first).replace("|", "/")
    return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."


def main() -> int:
    """Run the tests and print the table; return 1 if a seam has moved."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--version", default=NIGHTLY, help="a version of flwr-nightly")
    version = parser.parse_args().version
    count, failures = run_tests(prepare(version))
    if not count:
        print("No test ran.")
        return 2
    if not failures:
        print(f"flwr-nightly {version}: all of {count} seam tests pass.")
        return 0
    known = seams()
    print(f"\nflwr-nightly {version}: {len(failures)} tests say that their seam has moved.\n")
    print("| Seam | Test | What failed |\n|---|---|---|")
    for failure in sorted(failures, key=lambda each: (each.seams(known), each.test)):
        print(f"| {failure.seams(known)} | `{failure.test}` | {failure.reason} |")
    return 1


if __name__ == "__main__":
    sys.exit(main())
