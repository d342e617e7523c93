"""What is trained: a network of one hidden layer on scikit-learn's digits, with PyTorch."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

PIXELS, CLASSES, EPOCHS = 64, 10, 2
_BYTES_PER_UNIT = 4 * (PIXELS + CLASSES + 1)

Weights = list[NDArray[np.float32]]


class Model:
    """The network; its weights take about ``megabytes`` MB."""

    def __init__(self, megabytes: float) -> None:
        units = max(1, round(megabytes * 1e6 / _BYTES_PER_UNIT))
        layers = [nn.Linear(PIXELS, units), nn.ReLU(), nn.Linear(units, CLASSES)]
        self.layers = nn.Sequential(*layers)

    def get_weights(self) -> Weights:
        """Return the parameters as arrays."""
        return [each.detach().numpy().copy() for each in self.layers.parameters()]

    def set_weights(self, weights: Weights) -> None:
        """Set the parameters."""
        with torch.no_grad():
            for each, array in zip(self.layers.parameters(), weights, strict=True):
                each.copy_(torch.from_numpy(array.copy()))


def make_model(megabytes: float) -> Model:
    """Build the network."""
    return Model(megabytes)


def train(weights: Weights, megabytes: float, part: int, parts: int) -> tuple[Weights, float]:
    """Train on one part of the digits; return the new weights and the loss."""
    images, labels = load_digits(return_X_y=True)
    model = make_model(megabytes)
    model.set_weights(weights)
    data = TensorDataset(
        torch.tensor(images[part::parts] / 16, dtype=torch.float32),
        torch.tensor(labels[part::parts]),
    )
    optimizer = torch.optim.SGD(model.layers.parameters(), 0.01)
    loss = torch.zeros(())
    for _ in range(EPOCHS):
        for inputs, targets in DataLoader(data, batch_size=32, shuffle=True):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model.layers(inputs), targets)
            loss.backward()
            optimizer.step()
    return model.get_weights(), loss.item()


def average(results: list[Weights]) -> Weights:
    """Average weights, each node counting alike."""
    return [np.mean(layer, axis=0) for layer in zip(*results, strict=True)]
