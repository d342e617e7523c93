"""The ServerApps: Flower's strategies and workflows, and nothing else."""

import random

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.common import ndarrays_to_parameters
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg as OldFedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

NODES = 3

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run all rounds."""
    random.seed(1)  # the strategies sample nodes with it
    config, initial = context.run_config, [np.zeros(10, np.float32)]
    rounds = int(config["rounds"])
    if config["kind"] in ("list", "secagg"):
        strategy = OldFedAvg(
            fraction_evaluate=0.0,
            min_evaluate_clients=0,
            min_fit_clients=NODES,
            min_available_clients=NODES,
            initial_parameters=ndarrays_to_parameters(initial),
        )
        legacy = LegacyContext(context, ServerConfig(num_rounds=rounds), strategy)
        secure = SecAggPlusWorkflow(num_shares=3, reconstruction_threshold=2)
        workflow = DefaultWorkflow(secure) if config["kind"] == "secagg" else DefaultWorkflow()
        workflow(grid, legacy)
        return
    FedAvg(
        fraction_train=float(config["fraction"]),
        fraction_evaluate=0.0,
        min_train_nodes=1,
        min_available_nodes=NODES,
    ).start(grid=grid, initial_arrays=ArrayRecord(initial), num_rounds=rounds)
