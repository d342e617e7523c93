"""Of a FAB no more is unpacked than a pyproject.toml may have, whatever it says of itself."""

import io
import struct
import zipfile

import pytest
from flwr.cli.build import build_fab_from_disk
from flwr.proto.control_pb2 import ListRunsRequest, StartAutomationRequest, StartRunRequest
from flwr.proto.fab_pb2 import Fab
from tests.crash.conftest import APP

from fedstate.flower.fab_bounds import check_fabs

LARGE = 50 * 2**20


def bomb(method: int, says: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("pyproject.toml", b"#" * LARGE)
        archive.infolist()[0].file_size = says
    return packed.getvalue()


def archive(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        made.writestr(name, content)
    return packed.getvalue()


BOMBS = {
    f"{method} {says}": bomb(method, says)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    for says in (LARGE, 100)
}
WITHOUT = {
    "nothing of the kind": b"no archive",
    "another file": archive("other.toml", b""),
    "a cut one": archive("pyproject.toml", b"a = 1")[:-10],
    "a method that is none": archive("pyproject.toml", b"a = 1").replace(
        struct.pack("<HHH", 20, 0, 0), struct.pack("<HHH", 20, 0, 99)
    ),
}


@pytest.mark.parametrize("name", [*BOMBS, *WITHOUT])
def test_what_must_not_be_read_is_refused(name: str) -> None:
    fab = Fab(content={**BOMBS, **WITHOUT}[name])
    for request in (
        StartRunRequest(fab=fab),
        StartAutomationRequest(start_run_request=StartRunRequest(fab=fab)),
    ):
        with pytest.raises(Exception, match=r"^The FAB"):
            check_fabs(request)


def test_a_fab_of_flwrs_is_taken() -> None:
    check_fabs(StartRunRequest(fab=Fab(content=build_fab_from_disk(APP))))


def test_requests_without_one_are_taken() -> None:
    for request in (ListRunsRequest(), StartRunRequest(), StartRunRequest(fab=Fab(hash_str="a"))):
        check_fabs(request)
