"""The command line of flower-supernode, read as flwr reads it.

flwr's own parser reads it, so that a command line for Flower's program needs no change.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

# How flwr names the mode in which a SuperNode starts its executor.
from flwr.common.constant import ISOLATION_MODE_SUBPROCESS

# The parser: flwr's program reads the command line of its process, and offers nothing else.
from flwr.supernode.cli.flower_supernode import (
    _parse_args_run_supernode,
    _parse_supernode_lifespan_config,
)

from fedstate.flower.programs import command_line
from fedstate.flower.runs import UserConfig


@dataclass(frozen=True)
class SuperNodeSettings:
    """What the options of flower-supernode say.

    Attributes
    ----------
    superlink : str
        The SuperLink's address, as it was given.
    insecure : bool
        Whether to speak HTTP with it.
    root_certificates : Path, optional
        The file of the authority that vouches for it.
    keys : tuple, optional
        The node's private and public key; None without node authentication.
    key_file_of_node : Path, optional
        The file of the private one, in which the node's next key will be.
    max_retries, max_wait_time : int and float, optional
        How often and how many seconds to try to connect; None for no end.
    node_config : dict
        The node's config, for every Context.
    trusted_entities : dict of str to str, optional
        Public keys, by ID, of those whose FABs may run; None for all FABs.
    starts_executor : bool
        Whether the SuperNode starts its executor itself.
    executor_secret : bytes, optional
        What an executor proves to know.
    installs_dependencies : bool
        Whether an app's dependencies are installed before it runs.
    host, port : str and int
        Where the Runtime API is served.
    certificate_file, key_file, authority_file : str, optional
        Its TLS certificate and key, and the authority for executors; None for HTTP.
    health_address : str, optional
        Where gRPC's health service is served.
    """

    superlink: str
    insecure: bool
    root_certificates: Path | None
    keys: tuple[ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey] | None
    key_file_of_node: Path | None
    max_retries: int | None
    max_wait_time: float | None
    node_config: UserConfig
    trusted_entities: dict[str, str] | None
    starts_executor: bool
    executor_secret: bytes | None
    installs_dependencies: bool
    host: str
    port: int
    certificate_file: str | None
    key_file: str | None
    authority_file: str | None
    health_address: str | None


def supernode_parser() -> argparse.ArgumentParser:
    """Return the parser of flower-supernode's options."""
    return _parse_args_run_supernode()


def supernode_settings(arguments: Sequence[str]) -> SuperNodeSettings:
    """Return what flower-supernode's options say.

    Raises
    ------
    SystemExit
        For wrong usage, as flower-supernode itself ends.
    """
    with command_line("flower-supernode", arguments):
        config = _parse_supernode_lifespan_config()
    # flwr's configuration has what the file holds now, and not which it is.
    options = supernode_parser().parse_args(arguments)
    return SuperNodeSettings(
        superlink=config.server_address,
        insecure=config.insecure,
        root_certificates=_path(options.root_certificates),
        keys=config.authentication_keys,
        key_file_of_node=_path(options.auth_supernode_private_key),
        max_retries=config.max_retries,
        max_wait_time=config.max_wait_time,
        node_config=config.node_config,
        trusted_entities=config.trusted_entities,
        starts_executor=config.isolation == ISOLATION_MODE_SUBPROCESS,
        executor_secret=config.superexec_auth_secret,
        installs_dependencies=config.runtime_dependency_install,
        host=config.host,
        port=config.port,
        certificate_file=config.runtime_ssl_certfile,
        key_file=config.runtime_ssl_keyfile,
        authority_file=config.runtime_root_certificates_path,
        health_address=config.health_server_address,
    )


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None
