from pathlib import Path

import pytest

from fedstate.certificates.authority import ensure_authority
from fedstate.connection import Connection
from fedstate.errors import FederationError
from fedstate.flower.control import wait_for_superlink
from fedstate.local.process import free_port


def test_a_superlink_that_does_not_answer_in_time_is_named_with_the_reason(
    tmp_path: Path,
) -> None:
    ensure_authority(tmp_path)
    address = f"127.0.0.1:{free_port()}"
    connection = Connection("nobody", address, tmp_path / "ca.crt")
    with pytest.raises(FederationError, match=f"{address} cannot be reached .*refused"):
        wait_for_superlink(connection, 0.3)
