"""NumPy arrays: stored and read as they are."""

import numpy as np
from flwr.app import Context

from fedstate.state import state_of


def run(context: Context) -> None:
    """Store an array in the first execution; print it in this and every later one."""
    state = state_of(context)
    if "my_array" not in state:
        state["my_array"] = np.random.randn(3, 3)
    print(f"my_array={state['my_array'].tolist()}")
