"""What flwr's own executor offers to whoever supervises it, and ours has to offer, too."""

# flwr exports neither of these; their effect belongs to the command line of flower-superexec.
from flwr.supercore.app_utils import start_parent_process_monitor
from flwr.supercore.grpc_health import run_health_server_grpc_no_tls


def end_with(parent_pid: int) -> None:
    """Watch a process on a thread, and raise SIGINT in this one when it has ended."""
    start_parent_process_monitor(parent_pid)


def serve_health(address: str) -> None:
    """Answer gRPC health checks, without TLS, on ``host:port``, on threads."""
    run_health_server_grpc_no_tls(address)
