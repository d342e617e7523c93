"""What a process can see and do where it runs."""

import os
import tempfile
from pathlib import Path
from typing import Any

WRITTEN = "/tmp/written"  # noqa: S108  where it is not to be possible
SECRET = "/var/lib/fedstate/runtime/superexec.secret"


def look() -> dict[str, Any]:
    """Return what this process is, and what it was refused."""
    status = dict(
        line.split(":\t", 1) for line in Path("/proc/thread-self/status").read_text().splitlines()
    )
    return {
        "user": os.getuid(),
        "group": os.getgid(),
        "groups": os.getgroups(),
        "capabilities": [status[name].strip() for name in ("CapPrm", "CapEff", "CapAmb")],
        "no_new_privileges": status["NoNewPrivs"].strip() == "1",
        "home": str(Path.home()),
        "temporary": tempfile.gettempdir(),
        "refused": {
            "read the secret": _refused(lambda: Path(SECRET).read_bytes()),
            "list the rooms": _refused(lambda: list(Path("/rooms").iterdir())),
            "list the records of runs": _refused(
                lambda: list(Path("/var/lib/fedstate/runs").iterdir())
            ),
            "write to /tmp": _refused(lambda: Path(WRITTEN).write_bytes(b"")),
            "become root": _refused(lambda: os.setuid(0)),
            "become the executor": _refused(lambda: os.setuid(10004)),
            "signal the executor": _refused(lambda: _signal_executors()),
        },
    }


def _refused(attempt: Any) -> str:
    try:
        attempt()
    except OSError as error:
        return str(error.strerror)
    return "allowed"


def _signal_executors() -> None:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.stat().st_uid in (10002, 10004):
            os.kill(int(entry.name), 0)
