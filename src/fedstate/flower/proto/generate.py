"""Generate ``*_pb2.py`` and ``*_pb2.pyi`` from our ``.proto`` files: ``make proto``.

flwr ships the generated modules of its own messages without their ``.proto`` files; protoc is
given their descriptors instead.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

# The messages that ours carry.
from flwr.proto import fleet_pb2, message_pb2, node_pb2, runtime_pb2
from google.protobuf import descriptor_pb2  # type: ignore[import-untyped]  # it ships none

# The compiler that generated flwr's modules: what it generates works with every protobuf that
# flwr works with. It needs an older protobuf itself, and so an environment of its own.
COMPILER = "grpcio-tools==1.70.0"

_ROOT = Path(__file__).parents[3]
SOURCES = (
    _ROOT / "fedstate" / "witness" / "witness.proto",
    _ROOT / "fedstate" / "flower" / "proto" / "exchange.proto",
    _ROOT / "fedstate" / "flower" / "proto" / "evidence.proto",
    _ROOT / "fedstate" / "flower" / "proto" / "nodes.proto",
)


def flwr_descriptors() -> bytes:
    """Return the descriptors of flwr's messages, and of those that they carry, for protoc."""
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(file: object) -> None:
        for dependency in file.dependencies:  # type: ignore[attr-defined]
            add(dependency)
        described = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(described)  # type: ignore[attr-defined]
        files[described.name] = described

    for module in (fleet_pb2, message_pb2, node_pb2, runtime_pb2):
        add(module.DESCRIPTOR)
    encoded: bytes = descriptor_pb2.FileDescriptorSet(file=files.values()).SerializeToString()
    return encoded


def main() -> int:
    """Run protoc; return its exit status."""
    with tempfile.NamedTemporaryFile(suffix=".binpb") as descriptors:
        descriptors.write(flwr_descriptors())
        descriptors.flush()
        uv = Path(sys.executable).with_name("uv")
        command = [
            *(str(uv), "tool", "run", "--from", COMPILER, "python", "-m", "grpc_tools.protoc"),
            f"--descriptor_set_in={descriptors.name}",
            f"--proto_path={_ROOT}",
            f"--python_out={_ROOT}",
            f"--pyi_out={_ROOT}",
            *(str(source.relative_to(_ROOT)) for source in SOURCES),
        ]
        return subprocess.run(command, check=False, cwd=_ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
