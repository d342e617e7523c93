"""The sockets of a local federation: whose directories, and who passes them."""

import stat
from pathlib import Path

from fedstate.local import sockets


def test_runs_pass_the_directory_of_the_socket_and_no_other(tmp_path: Path) -> None:
    owner = tmp_path / "node-1"
    owner.mkdir(mode=0o700)
    for _ in range(2):
        sockets.prepare(owner)
    option, path = sockets.options(owner)
    assert option == "--runtime-socket"
    assert stat.S_IMODE(Path(path).parent.stat().st_mode) == 0o711
    assert Path(path).parent.parent == owner
    assert stat.S_IMODE(owner.stat().st_mode) == 0o700
