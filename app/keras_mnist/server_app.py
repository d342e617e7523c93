"""The ServerApp: federated averaging, one line a round, and a record of every reply."""

import random
import sys
import time
from collections.abc import Iterable

from flwr.app import ArrayRecord, Context, Message, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from fedstate.errors import FederationError, FedstateError
from fedstate.grids import wait_for_nodes, wrap_grid
from keras_mnist.model import make_model
from keras_mnist.settings import Settings

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run all rounds, then ask every node what it holds."""
    try:
        settings = Settings.from_run_config(context.run_config)
        wrapped = wrap_grid(
            grid,
            context,
            resend_seconds=settings.resend_seconds,
            on_lost_node=settings.on_lost_node,
        )
        wait_for_nodes(wrapped, settings.min_nodes, settings.node_timeout)
        # FedAvg samples nodes with the random module.
        random.seed(settings.seed)
        model = make_model(settings.learning_rate, settings.seed)
        PrintingFedAvg(settings).start(
            grid=wrapped,
            initial_arrays=ArrayRecord(model.get_weights()),
            num_rounds=settings.num_rounds,
        )
        wrapped.audit()
    except FedstateError:
        # Flower logs whatever a ServerApp raises with its traceback; a mistake in the run config
        # is said in its message alone.
        sys.tracebacklimit = 0
        raise


class PrintingFedAvg(FedAvg):
    """Federated averaging that prints one line a round and stops when no node has trained."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            fraction_train=settings.fraction_train,
            fraction_evaluate=settings.fraction_train,
            min_train_nodes=1,
            min_evaluate_nodes=1,
            min_available_nodes=settings.min_nodes,
        )
        self._num_rounds = settings.num_rounds
        self._started = time.monotonic()
        self._line = ""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average the nodes' weights.

        Raises
        ------
        FederationError
            If no node has trained, with the reason that each gave.
        """
        replies = list(replies)
        arrays, metrics = super().aggregate_train(server_round, replies)
        failures = [reply for reply in replies if reply.has_error()]
        if arrays is None or metrics is None:
            reasons = "; ".join(
                f"node {reply.metadata.src_node_id}: {reply.error.reason}" for reply in failures
            )
            raise FederationError(
                f"No node trained in round {server_round} ({reasons or 'no node answered'})."
            )
        self._line = (
            f"round {server_round}/{self._num_rounds}  nodes {len(replies) - len(failures)}"
            f"/{len(replies)}  train loss {metrics['loss']:.4f}"
        )
        return arrays, metrics

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Average the nodes' metrics and print the round's line."""
        metrics = super().aggregate_evaluate(server_round, replies)
        if metrics is not None:
            self._line += (
                f"  accuracy {metrics['accuracy']:.3f}  own weights {metrics['own-accuracy']:.3f}"
            )
        seconds, self._started = time.monotonic() - self._started, time.monotonic()
        print(f"{self._line}  {seconds:.1f} s", flush=True)  # noqa: T201  the run's output
        return metrics
