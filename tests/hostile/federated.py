"""A federation as a program: ``python -m tests.hostile.federated DIRECTORY [OPTION ...]``.

It starts one of plain processes as whichever user it is, says on its output who is who, and stops
when its input ends.
"""

import json
import os
import socket
import sys
import tempfile
from pathlib import Path

from fedstate.local.federation import Federation
from fedstate.local.programs import Programs


def main() -> None:
    """Run the federation; the options are those of its executors."""
    directory, *options = sys.argv[1:]
    executor = ("fedstate", "executor", "--preload", "numpy", *options)
    programs = Programs(serverapp_executor=executor, clientapp_executor=executor)
    # What else this user has: a terminal to type into, and a program that does as it is asked.
    _, terminal = os.openpty()
    with (
        tempfile.TemporaryDirectory() as private,
        socket.socket(socket.AF_UNIX) as agent,
        Federation(Path(directory), nodes=2, programs=programs) as federation,
    ):
        agent.bind(f"{private}/agent")
        agent.listen()
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
                    "terminal": os.ttyname(terminal),
                    "agent": f"{private}/agent",
                }
            ),
            flush=True,
        )
        sys.stdin.read()


if __name__ == "__main__":
    main()
