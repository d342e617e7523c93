"""The Grid that a ServerApp is given, with fewer requests and a way to wait for replies."""

from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.proto.node_pb2 import Node
from flwr.serverapp import Grid
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
)
from flwr.superlink.grid import HttpGrid

from fedstate.exchange import paths
from fedstate.flower.object_client import BatchingRuntimeClient


class ExchangeGrid(HttpGrid):
    """flwr's Grid with our client."""

    def _connect(self) -> None:
        """Connect as `HttpGrid` does, which makes its client itself."""
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
        """Wait until the SuperLink has had a reply since it counted `seen`; 0 at first.

        If `until` is given, wait until it has counted that many.

        Returns
        -------
        int or None
            The count now; None if the SuperLink cannot tell, and has not waited.
        """
        client = self._runtime_client
        if not isinstance(client, BatchingRuntimeClient):
            return None
        node = Node(node_id=SUPERLINK_NODE_ID)
        return client.exchange.wait(paths.RUNTIME_WAIT, node, seen, seconds, until=until)


def wait_for_replies(grid: Grid, seen: int, seconds: float, until: int = 0) -> int | None:
    """Wait as `ExchangeGrid.wait_for_replies` does, if the Grid is one."""
    if not isinstance(grid, ExchangeGrid):
        return None
    return grid.wait_for_replies(seen, seconds, until)
