import numpy as np
import pytest

from fedstate.errors import SettingError
from keras_mnist.data import MIN_IMAGES, dirichlet_split, load_mnist, load_partition


def test_the_images_are_the_real_ones() -> None:
    images, labels = load_mnist()
    assert images.shape == (5000, 28, 28, 1)
    assert (images.min(), images.max()) == (0.0, 1.0)
    assert np.bincount(labels).tolist() == [500] * 10


@pytest.mark.parametrize("nodes", [1, 3, 12])
def test_every_image_is_in_exactly_one_part(nodes: int) -> None:
    labels = load_mnist()[1]
    parts = dirichlet_split(labels, nodes, alpha=0.5, seed=3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    assert min(len(part) for part in parts) >= MIN_IMAGES


def test_the_split_depends_on_the_seed_alone() -> None:
    labels = load_mnist()[1]
    one, same, other = (dirichlet_split(labels, 3, 0.5, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_small_alpha_makes_the_parts_differ_more() -> None:
    labels = load_mnist()[1]

    def skew(alpha: float) -> float:
        parts = dirichlet_split(labels, 3, alpha, seed=0)
        shares = [np.bincount(labels[part], minlength=10) / len(part) for part in parts]
        return float(np.std(shares, axis=0).mean())

    assert skew(0.2) > 4 * skew(100)


def test_train_and_test_images_are_apart() -> None:
    part = load_partition(0, 3, alpha=0.5, seed=0)
    total = len(part.train_labels) + len(part.test_labels)
    assert len(part.test_labels) == pytest.approx(0.2 * total, abs=1)
    seen = {image.tobytes() for image in part.train_images}
    assert not any(image.tobytes() in seen for image in part.test_images)


@pytest.mark.parametrize("partition_id", [-1, 3])
def test_a_partition_out_of_range_is_said(partition_id: int) -> None:
    with pytest.raises(SettingError, match=f"partition-id is {partition_id}, .* from 0 to 2"):
        load_partition(partition_id, 3, alpha=0.5, seed=0)


def test_too_many_nodes_for_the_data_are_said() -> None:
    with pytest.raises(SettingError, match=r"dirichlet-alpha 0\.01 and 100 nodes"):
        load_partition(0, 100, alpha=0.01, seed=0)
