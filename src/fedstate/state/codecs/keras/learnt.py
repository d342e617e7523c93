"""What layers learn by ``adapt`` and Keras does not save with their variables, or not all of it.

`Discretization` keeps its bins in the layer's configuration, which an app writes in its code and
does not load. A vocabulary is saved as a text file with one line for each entry, which entries
with a line break in them do not survive, and of a layer that was given one it is in the
configuration, too.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedstate.state.errors import StateDamagedError

Arrays = dict[str, NDArray[Any]]


class Learnt(ABC):
    """How to read and write what a layer has learnt."""

    @abstractmethod
    def read(self, layer: Any) -> Arrays:
        """Return what the layer has learnt, by name."""

    @abstractmethod
    def write(self, layer: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Give to the layer what one like it has learnt."""


class Bins(Learnt):
    """The bins of a `Discretization`, and what they were made from."""

    def read(self, layer: Any) -> Arrays:
        """Return the boundaries, none where it was not adapted, and the summary."""
        arrays = {"summary": np.asarray(layer.summary)} if layer.num_bins is not None else {}
        if layer.bin_boundaries is not None:
            arrays["bin_boundaries"] = np.asarray(layer.bin_boundaries, "float64")
        return arrays

    def write(self, layer: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Set both."""
        bins = arrays.get("bin_boundaries")
        layer.bin_boundaries = None if bins is None else bins.tolist()
        if "summary" in arrays:
            layer.summary = arrays["summary"].copy()


class Vocabulary(Learnt):
    """The vocabulary of a `StringLookup` or `IntegerLookup`, with the weights of TF-IDF."""

    def read(self, layer: Any) -> Arrays:
        """Return the vocabulary as UTF-8 in JSON, or as integers."""
        vocabulary = layer.get_vocabulary(include_special_tokens=False)
        if layer.vocabulary_dtype == "string":
            text = json.dumps(list(map(str, vocabulary)), ensure_ascii=False)
            arrays = {"vocabulary": np.frombuffer(text.encode(), "uint8")}
        else:
            arrays = {"vocabulary": np.array([int(v) for v in vocabulary], "int64")}
        weights = getattr(layer, "idf_weights_const", None)
        if weights is not None:
            arrays["idf_weights"] = np.asarray(weights)
        return arrays

    def write(self, layer: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Set both; a layer whose like has learnt nothing is again as if it had not, either."""
        found = arrays.get("vocabulary")
        if found is None:
            raise StateDamagedError(f"no vocabulary of {layer.name!r} is stored")
        if layer.vocabulary_dtype == "string":
            vocabulary = json.loads(found.tobytes())
        else:
            vocabulary = found.tolist()
        if not vocabulary:
            layer.lookup_table = layer._uninitialized_lookup_table()  # noqa: SLF001
            layer._frozen_vocab_size = None  # noqa: SLF001
            return
        # A vocabulary with its special tokens is never taken for one without them.
        start = layer._token_start_index()  # noqa: SLF001
        special = [layer.mask_token] * layer._oov_start_index()  # noqa: SLF001
        special += [layer.oov_token] * layer.num_oov_indices
        values = [*special[:start], *vocabulary]
        weights = arrays.get("idf_weights")
        if weights is None:
            layer.set_vocabulary(values)
        else:
            # Padding at the end, which `set_vocabulary` adds, is left out.
            layer.set_vocabulary(values, idf_weights=weights[: len(values)])


class InsideLayer(Learnt):
    """A `TextVectorization` saves what the lookup layer inside of it has learnt."""

    def read(self, layer: Any) -> Arrays:  # noqa: ARG002
        """Return nothing: the layer inside is a place of its own."""
        return {}

    def write(self, layer: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Do nothing."""


_LEARNT: dict[str, Learnt] = {
    "Discretization": Bins(),
    "IndexLookup": Vocabulary(),
    "TextVectorization": InsideLayer(),
}
_METHODS = ("save_own_variables", "load_own_variables", "save_assets", "load_assets")


def learnt_by(saveable: Any) -> Learnt | None:
    """Return how to read what a layer of Keras's own learns, None for every other.

    A subclass with saving methods of its own saves itself.
    """
    found = None
    for kind in type(saveable).__mro__:
        if not kind.__module__.startswith("keras."):
            if any(method in vars(kind) for method in _METHODS):
                return None
        elif kind.__name__ in _LEARNT:
            found = _LEARNT[kind.__name__]
            break
    return found
