"""A federation as a program: ``python -m tests.hostile.federated DIRECTORY [OPTION ...]``.

It starts one of plain processes as whichever user it is, says on its output who is who, and stops
when its input ends.
"""

import json
import sys
from pathlib import Path

from fedstate.local.federation import Federation
from fedstate.local.programs import Programs


def main() -> None:
    """Run the federation; the options are those of its executors."""
    directory, *options = sys.argv[1:]
    executor = ("fedstate", "executor", "--preload", "numpy", *options)
    programs = Programs(serverapp_executor=executor, clientapp_executor=executor)
    with Federation(Path(directory), nodes=2, programs=programs) as federation:
        print(  # noqa: T201
            json.dumps(
                {
                    "address": federation.connection.address,
                    "processes": {each.name: each.pid for each in federation.processes},
                    "logs": [str(each.log_file) for each in federation.processes],
                    "server executor": federation.serverapp_executor.pid,
                    "executors": [each.executor.pid for each in federation.nodes],
                    "ports": [each.port for each in federation.nodes],
                    "apis": {
                        "Control API": federation.ports.control,
                        "Fleet API": federation.ports.fleet,
                        "Runtime API": federation.ports.runtime,
                    },
                    "environment": dict(federation.environment),
                }
            ),
            flush=True,
        )
        sys.stdin.read()


if __name__ == "__main__":
    main()
