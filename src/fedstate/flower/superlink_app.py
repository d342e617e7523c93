"""flwr's SuperLink: its command line, and its HTTP application."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI

# How flwr names the mode in which a SuperLink starts its executor.
from flwr.common.constant import ISOLATION_MODE_SUBPROCESS

# The name of a database that is in memory.
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME as IN_MEMORY_DATABASE

# flwr's own parser, so that a command line for `flower-superlink` needs no change.
from flwr.superlink.cli.flower_superlink import (
    SuperLinkLifespan,
    _parse_args_run_superlink,
    _parse_superlink_lifespan_config,
)

# What the parser returns, and what flwr's SuperLink itself is started with.
from flwr.superlink.config_loader import SuperLinkLifespanConfig as SuperLinkConfig
from flwr.superlink.main import create_app
from sqlalchemy.exc import DatabaseError

from fedstate.accounts.accounts import Accounts
from fedstate.errors import SettingError
from fedstate.flower.control_accounts import AccountFederation, AccountPlugin
from fedstate.flower.programs import executor_command
from fedstate.flower.witnessed_state import use_witnessed

__all__ = [
    "IN_MEMORY_DATABASE",
    "SuperLinkConfig",
    "create_superlink",
    "parse",
    "superlink_parser",
]


def superlink_parser() -> argparse.ArgumentParser:
    """Return the parser of flower-superlink's options."""
    return _parse_args_run_superlink()


def parse(arguments: Sequence[str], *, program: str, description: str) -> SuperLinkConfig:
    """Return the configuration that a command line stands for.

    Raises
    ------
    SystemExit
        For wrong usage (2), and for --help and --version (0).
    """
    parser = superlink_parser()
    parser.prog = program
    parser.description = description
    parser.parse_args(arguments)
    # flwr's function reads the command line of the process, which is this command alone.
    sys.argv = ["flower-superlink", *arguments]
    return _parse_superlink_lifespan_config()


class _Lifespan(SuperLinkLifespan):
    """flwr's, with an executor of ours where the SuperLink starts one itself.

    Attributes
    ----------
    runtime_socket : Path, optional
        The Unix socket by which it connects. Of a class for one SuperLink: flwr makes the object.
    """

    runtime_socket: Path | None = None

    def _start_superexec_if_needed(self) -> None:
        config = self.config
        if config.isolation != ISOLATION_MODE_SUBPROCESS:
            return
        command = executor_command(
            config.host,
            config.port,
            tls=config.certificates is not None,
            authority_file=config.ssl_ca_certfile,
            installs_dependencies=config.runtime_dependency_install,
            socket=self.runtime_socket,
        )
        self.superexec_process = subprocess.Popen(command, start_new_session=True)


def create_superlink(
    config: SuperLinkConfig,
    accounts: Accounts | None = None,
    keep_log: int | None = None,
    socket: Path | None = None,
) -> FastAPI:
    """Return flwr's SuperLink, on a state of ours, which keeps the evidence of runs.

    Parameters
    ----------
    config : SuperLinkConfig
        What flower-superlink's options say.
    accounts : Accounts, optional
        Who may call the Control API; without them anybody may, as at Flower's own SuperLink.
    keep_log : int, optional
        How many messages of each node in each run the evidence keeps; None for all.
    socket : Path, optional
        The Unix socket on which the Runtime API is served to an executor that it starts itself.

    Raises
    ------
    SettingError
        The database cannot be opened.
    """
    if accounts is not None:
        config = replace(config, authn_plugin=AccountPlugin(accounts))
    try:
        app = create_app(config, type("_Lifespan", (_Lifespan,), {"runtime_socket": socket}))
        factory = app.state.linkstate_factory
        if accounts is not None:
            # Before the state of ours is made, which takes it from the factory.
            factory.federation_manager = AccountFederation(accounts, simulation=config.simulation)
        use_witnessed(factory, keep_log)
    except DatabaseError as error:
        raise SettingError(
            f"The database '{config.database}' cannot be used ({error.orig}); name a file with "
            "--database that is a SuperLink's, or is not there yet."
        ) from error
    return app
