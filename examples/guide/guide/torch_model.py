"""PyTorch: a module's parameters, into a new instance of it with each execution."""

import torch
import torch.nn.functional as F  # noqa: N812
from flwr.app import Context
from torch import nn

from fedstate.state import state_of


class Net(nn.Module):
    """A very simple model."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 5)
        self.fc = nn.Linear(1024, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output for a batch of images."""
        x = F.relu(self.conv(x))
        return self.fc(x)


def run(context: Context) -> None:
    """Store the parameters in the first execution; load them in every later one."""
    state = state_of(context)
    model = Net()
    if "net_parameters" in state:
        state.load("net_parameters", into=model)
    else:
        state["net_parameters"] = model
    print(f"fc.bias={model.fc.bias.tolist()}")
