"""Metrics: a list in a ConfigRecord that gets one more number with each execution."""

import random

from flwr.app import ConfigRecord, Context

from fedstate.state import state_of


def run(context: Context) -> None:
    """Print what is remembered, then add to it."""
    state = state_of(context)
    eval_metrics = state.setdefault("eval_metrics", ConfigRecord())
    # It has the numbers of all executions before.
    print(f"config_records={dict(state)}")
    eval_metrics.setdefault("n_val", []).append(random.randint(0, 10))
