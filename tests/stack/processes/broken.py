"""The app, broken on purpose: ways of keeping state elsewhere than in the Context."""

import shutil
from pathlib import Path

from tests.stack.conftest import APP

# A module variable instead of the Context: it is gone with the process of each message.
GLOBAL_VARIABLE = """
from flwr.app import RecordDict

STATE = RecordDict()

class Broken(ClientApp):
    def __call__(self, message, context):
        context.state, kept = STATE, context.state
        try:
            return original(message, context)
        finally:
            context.state = kept
"""

# One file on the machine instead of the Context: all runs and nodes share it. The library refuses
# another node's state, so that no step of a second node succeeds.
SHARED_FILE = """
import pickle
from pathlib import Path

FILE = Path("{file}")

class Broken(ClientApp):
    def __call__(self, message, context):
        kept = context.state
        if FILE.exists():
            context.state = pickle.loads(FILE.read_bytes())
        try:
            return original(message, context)
        finally:
            partial = FILE.with_suffix(f".{context.node_id}")
            partial.write_bytes(pickle.dumps(context.state))
            partial.replace(FILE)
            context.state = kept
"""

# No step succeeds.
FAILING = """
class Broken(ClientApp):
    def __call__(self, message, context):
        raise ValueError("no data today")
"""


def broken_app(directory: Path, kind: str) -> Path:
    """Write a copy of the app whose ClientApp is wrapped by ``kind``; return its directory."""
    copy = directory / "app"
    shutil.copytree(APP, copy, ignore=shutil.ignore_patterns("__pycache__", "*.fab"))
    (copy / "keras_mnist" / "broken.py").write_text(
        "from flwr.clientapp import ClientApp\n"
        "from keras_mnist.client_app import app as original\n"
        + kind.replace("{file}", str(directory / "state"))
        + "\napp = Broken()\n"
    )
    project = copy / "pyproject.toml"
    text = project.read_text()
    assert "keras_mnist.client_app:app" in text
    project.write_text(text.replace("keras_mnist.client_app:app", "keras_mnist.broken:app"))
    return copy
