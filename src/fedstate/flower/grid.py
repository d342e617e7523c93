"""The Grid that a ServerApp is given, with fewer requests and with notification of replies."""

from flwr.common.constant import SUPERLINK_NODE_ID

# What flwr's Grid connects with; it makes its client itself.
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
)
from flwr.superlink.grid import HttpGrid

from fedstate.exchange import paths
from fedstate.flower.messages import Node
from fedstate.flower.object_client import BatchingRuntimeClient


class BatchingGrid(HttpGrid):
    """flwr's Grid with a `BatchingRuntimeClient`."""

    def _connect(self) -> None:
        """Connect as `HttpGrid` does."""
        self._client = BatchingRuntimeClient.from_server_address(
            server_address=self._addr,
            insecure=self._insecure,
            root_certificates=self._cert,
            interceptors=[
                self._tracing,
                RuntimeVersionHttpInterceptor(component_name="flwr-serverapp"),
                RuntimeTokenHttpInterceptor(token=self._token),
            ],
            retry_invoker=self._retry_invoker,
        )

    def wait_for_replies(self, seen: int, seconds: float, until: int = 0) -> int | None:
        """Wait for a notification of replies, as `NotifiedGrid` describes."""
        client = self._runtime_client
        if not isinstance(client, BatchingRuntimeClient):
            return None
        node = Node(node_id=SUPERLINK_NODE_ID)
        waited = client.extra_routes.wait(paths.RUNTIME_WAIT, node, seen, seconds, until=until)
        return None if waited is None else waited.count
