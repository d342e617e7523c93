"""What flwr's own executor offers to whoever supervises it, and ours has to offer, too."""

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# flwr exports neither of these; their effect belongs to the command line of flower-superexec.
from flwr.supercore.app_utils import start_parent_process_monitor
from flwr.supercore.grpc_health import run_health_server_grpc_no_tls

_STOP_SECONDS = 5.0


def end_with(parent_pid: int) -> None:
    """Watch a process on a thread, and raise SIGINT in this one at once when it has ended."""
    if not hasattr(os, "pidfd_open"):
        start_parent_process_monitor(parent_pid)  # which looks every 5 s
        return
    main = threading.main_thread()
    try:
        parent = os.pidfd_open(parent_pid)
    except ProcessLookupError:
        parent = None

    def watch() -> None:
        if parent is not None:
            poll = select.poll()
            poll.register(parent, select.POLLIN)  # readable once the process has ended
            poll.poll()
            os.close(parent)
        # To the main thread itself: only then is a call interrupted in which it waits.
        if main.ident is not None:
            signal.pthread_kill(main.ident, signal.SIGINT)

    threading.Thread(target=watch, name="parent process", daemon=True).start()


@contextmanager
def serving_health(address: str) -> Iterator[None]:
    """Answer gRPC health checks, without TLS, on ``host:port``, on threads, in the block."""
    # It ends when nothing refers to it any longer; and Python's end can wait for it for ever.
    server = run_health_server_grpc_no_tls(address)
    try:
        yield
    finally:
        server.stop(None).wait(_STOP_SECONDS)
