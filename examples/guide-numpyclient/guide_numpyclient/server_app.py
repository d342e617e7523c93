"""The ServerApp, as NumPyClients need it: asks every client to evaluate, round after round."""

import numpy as np
from flwr.app import Context
from flwr.common import ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg


def server_fn(context: Context) -> ServerAppComponents:
    """Return a strategy that only evaluates."""
    strategy = FedAvg(
        fraction_fit=0.0,
        min_fit_clients=0,
        initial_parameters=ndarrays_to_parameters([np.zeros(1)]),
    )
    rounds = int(context.run_config["num-rounds"])
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=rounds))


app = ServerApp(server_fn=server_fn)
