"""The ServerApp: asks every client to evaluate, round after round."""

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run all rounds."""
    FedAvg(fraction_train=0.0).start(
        grid=grid,
        initial_arrays=ArrayRecord(),
        num_rounds=int(context.run_config["num-rounds"]),
    )
