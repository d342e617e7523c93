"""What one part of a model saves of itself, by Keras's own protocol, and how it is put back."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedstate.state.codecs.keras.learnt import learnt_by
from fedstate.state.codecs.keras.names import unique, variable_name
from fedstate.state.codecs.keras.walk import Place
from fedstate.state.errors import StateTypeError

Arrays = dict[str, NDArray[Any]]
_ASSETS = "assets/"


@dataclass(eq=False)
class Own:
    """What a place saves, apart from what is inside of it.

    Attributes
    ----------
    place : Place
        The place.
    variables : dict[str, Any]
        Its variables by name, those that it shares with other places too.
    slots : dict[str, Any]
        Which of them `load_own_variables` wants under which key.
    extras : dict[str, NDArray]
        What is not a variable: what was made for saving, what `adapt` learnt, files.
    is_raw : bool
        Whether its variables are put back as they are, past `load_own_variables`.
    beside : list[Any]
        Variables that `load_own_variables` knows nothing of: random seeds, and the states of a
        layer that goes on from batch to batch.
    """

    place: Place
    variables: dict[str, Any]
    slots: dict[str, Any] = field(default_factory=dict)
    extras: Arrays = field(default_factory=dict)
    is_raw: bool = False
    beside: list[Any] = field(default_factory=list)

    def add_loose(self, known: set[int]) -> set[int]:
        """Add variables that no place saves; return which, by identity.

        A layer with saving methods of the user's own knows what it leaves out.
        """
        saveable = self.place.saveable
        if hasattr(saveable, "save_own_variables") and _is_users(_saver(saveable)):
            return set()
        added = {
            label: v
            for label, v in self.place.loose.items()
            if id(v) not in known and not v.path.endswith("seed_generator_state")
        }
        self.variables |= {
            f"{label}/{variable_name(str(v.name))}": v for label, v in added.items()
        }
        self.beside += added.values()
        return {id(v) for v in added.values()}

    def takes_extras(self) -> bool:
        """Return whether the place can load what is not a variable."""
        saveable = self.place.saveable
        return bool(self.extras) or learnt_by(saveable) is not None or has_own_methods(saveable)


def own_of(place: Place) -> Own:
    """Return what a place saves.

    Raises
    ------
    StateTypeError
        If it fails, or gives what is no array.
    """
    own = _own_of(place)
    for attribute, seed in place.seeds.items():
        own.variables[f"{attribute}/{seed.state.name}"] = seed.state
        own.beside.append(seed.state)
    return own


def _own_of(place: Place) -> Own:
    saveable = place.saveable
    learnt = learnt_by(saveable)
    if learnt is not None:
        return Own(place, {}, extras=learnt.read(saveable))
    store: dict[str, Any] = {}
    try:
        if hasattr(saveable, "save_own_variables"):
            saveable.save_own_variables(store)
        extras = _assets(saveable)
    except Exception as error:
        raise StateTypeError(
            f"the layer {place.name or saveable.name!r} cannot save itself: {error}"
        ) from error
    kind = _variable_type()
    slots = {str(key): value for key, value in store.items() if isinstance(value, kind)}
    rest = {str(key): value for key, value in store.items() if not isinstance(value, kind)}
    if rest:
        known = {id(weight.value): weight for weight in saveable.weights}
        slots |= {key: known[id(value)] for key, value in rest.items() if id(value) in known}
        extras |= {k: _array(place, k, v) for k, v in rest.items() if id(v) not in known}
    distinct = {id(variable): variable for variable in slots.values()}
    if hasattr(saveable, "save_own_variables") and not _is_users(_saver(saveable)):
        # Keras merges LoRA's adapters into the kernel when it saves, and they could not go on
        # being trained; of kernels quantized by GPTQ and AWQ it leaves out the zero points.
        inside = {id(w) for layer in _layers_in(saveable) for w in layer.weights}
        variables = [w for w in saveable.weights if id(w) not in inside]
        if any(id(w) not in distinct for w in variables):
            return Own(place, _named(variables), is_raw=True)
    return Own(place, _named(list(distinct.values())), slots, extras)


def put(own: Own, arrays: Mapping[int, NDArray[Any]], extras: Mapping[str, NDArray[Any]]) -> None:
    """Put state into a place.

    Parameters
    ----------
    own : Own
        What the place saves now.
    arrays : Mapping[int, NDArray]
        The new values, by the identity of the variable; the others stay as they are.
    extras : Mapping[str, NDArray]
        What is not a variable.
    """
    saveable = own.place.saveable
    for variable in own.beside:
        _assign(variable, arrays)
    learnt = learnt_by(saveable)
    if learnt is not None:
        learnt.write(saveable, extras)
    elif own.is_raw:
        for variable in own.variables.values():
            _assign(variable, arrays)
        for mode in ("gptq", "awq"):  # Keras, too, takes what it loads for calibrated.
            if hasattr(saveable, f"is_{mode}_calibrated"):
                setattr(saveable, f"is_{mode}_calibrated", saveable.quantization_mode == mode)
    else:
        if (own.slots or has_own_methods(saveable)) and hasattr(saveable, "load_own_variables"):
            saveable.load_own_variables(_store(own, arrays, extras))
        _load_assets(saveable, extras)


def has_own_methods(saveable: Any) -> bool:
    """Return whether the part saves or loads in another way than layers do by default."""
    default = _layer()
    return hasattr(saveable, "load_assets") or any(
        getattr(type(saveable), method, None) is not getattr(default, method)
        for method in ("save_own_variables", "load_own_variables")
    )


def array_of(variable: Any) -> NDArray[Any]:
    """Return a variable's value, where possible as a view: copying it takes as long as hashing.

    It must be used at once: the next step of training may write into the same memory.
    """
    try:
        return np.from_dlpack(variable.value.read_value())
    except (AttributeError, TypeError, ValueError, BufferError, RuntimeError):
        # Another backend than TensorFlow, another device than the CPU, or bfloat16.
        array: NDArray[Any] = variable.numpy()
        return array


def _store(
    own: Own, arrays: Mapping[int, NDArray[Any]], extras: Mapping[str, NDArray[Any]]
) -> dict[str, Any]:
    store: dict[str, Any] = {}
    for key, variable in own.slots.items():
        array = arrays.get(id(variable))
        store[key] = variable.numpy() if array is None else array
    return store | {key: v for key, v in extras.items() if not key.startswith(_ASSETS)}


def _assign(variable: Any, arrays: Mapping[int, NDArray[Any]]) -> None:
    array = arrays.get(id(variable))
    if array is not None:
        variable.assign(array)


def _named(variables: list[Any]) -> dict[str, Any]:
    names = unique(variable_name(str(variable.name)) for variable in variables)
    return dict(zip(names, variables, strict=True))


def _array(place: Place, key: str, value: Any) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except Exception as error:
        raise StateTypeError(f"{place.name}: {key!r} is no array: {error}") from error
    if array.dtype.hasobject:
        raise StateTypeError(
            f"the layer {place.name!r} saves {key!r} as a {type(value).__name__}, which is no "
            "array; let its save_own_variables give numbers or bytes"
        )
    return array


def _assets(saveable: Any) -> Arrays:
    """Return the files that a part of a model writes, as bytes."""
    if not hasattr(saveable, "save_assets"):
        return {}
    with tempfile.TemporaryDirectory() as directory:
        saveable.save_assets(directory)
        root = Path(directory)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return {
            f"{_ASSETS}{path.relative_to(root).as_posix()}": np.frombuffer(
                path.read_bytes(), "uint8"
            )
            for path in files
        }


def _load_assets(saveable: Any, extras: Mapping[str, NDArray[Any]]) -> None:
    if not hasattr(saveable, "load_assets"):
        return
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory).resolve()
        for key, array in extras.items():
            path = (root / key.removeprefix(_ASSETS)).resolve()
            if key.startswith(_ASSETS) and path.is_relative_to(root):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(array.tobytes())
        saveable.load_assets(directory)


def _saver(saveable: Any) -> type:
    """Return the class that says how the part saves itself."""
    return next(kind for kind in type(saveable).__mro__ if "save_own_variables" in vars(kind))


def _is_users(kind: type) -> bool:
    return not kind.__module__.startswith(("keras.", "tensorflow.", "builtins"))


def _layers_in(layer: Any) -> list[Any]:
    return [inner for inner in layer._flatten_layers(include_self=False)]  # noqa: SLF001, C416


def _layer() -> Any:
    import keras

    return keras.Layer


def _variable_type() -> Any:
    import keras

    return keras.Variable
