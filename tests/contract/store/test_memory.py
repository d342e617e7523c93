"""A large state is in memory once: while it is stored, and while it is read."""

import subprocess
import sys
from pathlib import Path

import pytest

# What a program of its own does with a state, and by how much of the state it grows meanwhile.
PROGRAM = """
import sys
from pathlib import Path
from fedstate.store.node_store import NodeStore, StoredRun
from fedstate.store.values import Value

SIZE = 96 * 2**20
KEY = bytes.fromhex(sys.argv[3]) or None

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))

def state():
    content = bytearray(SIZE)
    for start in range(0, SIZE, 2**20):
        content[start : start + 8] = start.to_bytes(8)
    return Value(b"header", [memoryview(content)])

store = NodeStore(Path(sys.argv[1]), key=KEY)
if sys.argv[2] == "store":
    new = state()
    before = peak()
    store.add_run(StoredRun(1, 1, "fab", None), Value(b""), Value(b"fab"), new)
else:
    before = peak()
    read = store.context(1)
    assert len(read.blobs[0]) == SIZE
print((peak() - before) / SIZE)
store.close()
"""


@pytest.mark.parametrize("key", ["", "00" * 32], ids=["plain", "encrypted"])
def test_a_large_state_is_in_memory_once(tmp_path: Path, key: str) -> None:
    grown = {}
    for what in ("store", "read"):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / "state"), what, key]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        grown[what] = float(done.stdout)
    # One copy is what is read; beside it, and beside what is stored, there are some chunks.
    assert grown["store"] < 0.25, grown
    assert 0.9 < grown["read"] < 1.25, grown
