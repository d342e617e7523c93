"""A SuperLink's application in this process, ours or flwr's own, for tests that call it."""

import sys
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.asymmetric import ec
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.main import create_app

from fedstate.exchange.signals import Signals
from fedstate.flower.own_key import KeyPair
from fedstate.flower.superlink_app import parse
from fedstate.superlink.control_door import Door
from fedstate.superlink.main import extend, make_app


def key_pair() -> KeyPair:
    key = ec.generate_private_key(ec.SECP384R1())
    return key, key.public_key()


class SuperLinkApplication:
    """The application, with its database in a directory, and the state that it works on."""

    def __init__(
        self,
        directory: Path,
        *,
        ours: bool = True,
        database: str | None = None,
        door: Door | None = None,
    ) -> None:
        with mock.patch.object(sys, "argv", ["flower-superlink"]):  # which the parser changes
            config = parse(
                [
                    *("--insecure", "--isolation", "process"),
                    *("--database", database or str(directory / "superlink.db")),
                ],
                program="superlink",
                description="",
            )
        self.signals = Signals()
        if ours:
            self.app = make_app(config, door)
            extend(self.app, self.signals, door)
        else:
            self.app = create_app(config, SuperLinkLifespan)
        self.state: Any = self.app.state.linkstate_factory.state()

    def close(self) -> None:
        if hasattr(self.state, "_engine"):
            self.state._engine.dispose()
        if getattr(self.state, "files", None) is not None:
            self.state.files.close()

    def lapse(self, node_id: int) -> None:
        """Let the last heartbeat of a node lapse."""
        rows = self.state.query(
            "UPDATE node SET online_until = 1 WHERE node_id = :id RETURNING node_id",
            {"id": node_id - 2**64 if node_id >= 2**63 else node_id},
        )
        assert rows, "flwr keeps elsewhere how long a node counts as online"
