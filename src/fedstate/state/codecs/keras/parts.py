"""A part of a model: layers at any depth, whole backbones, single variables."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fedstate.state.codecs.keras.model import ModelState
from fedstate.state.codecs.keras.own import Own
from fedstate.state.codecs.keras.walk import Place
from fedstate.state.errors import StateTypeError

Choice = Iterable[str] | Callable[[Any], bool]
# How many names an error lists.
_LISTED = 30


@dataclass(frozen=True)
class ModelPart:
    """Some layers or variables of a Keras model; made by `weights_of`."""

    model: Any
    layers: tuple[Any, ...]
    single: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """Return the model's name."""
        return str(self.model.name)

    def variables(self) -> dict[str, Any]:
        """Return the part's variables by name."""
        state = ModelState.of(self.model)
        chosen, _ = self.chosen(state)
        return {one.name: one.variable for one in state.expected if id(one.variable) in chosen}

    def chosen(self, state: ModelState) -> tuple[set[int], list[Own]]:
        """Return which variables, by identity, and which places of a state are in the part."""
        layers = {id(layer) for layer in self.layers}
        places = {id(own.place) for own in state.owns if id(own.place.saveable) in layers}
        owns = [own for own in state.owns if own.place.is_within(places)]
        variables = {id(v) for own in owns for v in own.variables.values()}
        return variables | {id(variable) for variable in self.single}, owns


def weights_of(
    model: Any, layers: Choice | None = None, *, variables: Choice | None = None
) -> ModelPart:
    """Return a part of a Keras model, to be stored or loaded in place of the whole.

    Parameters
    ----------
    model : keras.Model | keras.Layer
        The model.
    layers : Iterable[str] | Callable[[keras.Layer], bool] | None
        Names or paths (``"backbone/norm"``) of layers at any depth, with all that is inside of
        them; or a function that says of a layer at any depth whether it belongs to the part. A
        path may also name a single variable (``"dense/lora_kernel_a"``).
    variables : Iterable[str] | Callable[[keras.Variable], bool] | None
        Single variables: names or paths, or a function that says of a variable whether it
        belongs to the part.

    Raises
    ------
    StateTypeError
        If something chosen is not there, is there more than once, is not chosen as a whole, or
        has no weights.

    Examples
    --------
    >>> weights_of(model, ["head"])  # doctest: +SKIP
    >>> weights_of(model, lambda layer: isinstance(layer, BatchNormalization))  # doctest: +SKIP
    >>> weights_of(model, variables=lambda variable: "lora" in variable.name)  # doctest: +SKIP
    """
    if not hasattr(model, "weights") or not hasattr(model, "name"):
        raise StateTypeError(
            f"weights_of takes a Keras model, and was given a {type(model).__name__}."
        )
    state = ModelState.of(model)
    chosen: list[Any] = []
    single: list[Any] = []
    if layers is not None:
        if callable(layers):
            chosen = _by_function(state, layers)
        else:
            for name in [layers] if isinstance(layers, str) else list(layers):
                found = _layer_of(state, name)
                (chosen if found is not None else single).extend(
                    [found.saveable] if found is not None else _variables_of(state, name, True)
                )
    if callable(variables):
        single += [one.variable for one in state.expected if variables(one.variable)]
    elif variables is not None:
        for name in [variables] if isinstance(variables, str) else list(variables):
            single += _variables_of(state, name, False)
    part = ModelPart(model, tuple(chosen), tuple(single))
    found_variables, owns = part.chosen(state)
    if not found_variables and not any(own.extras for own in owns):
        raise StateTypeError(
            f"No layer with weights was chosen from the model {model.name!r}; "
            f"its layers are {_listed(state)}."
        )
    return part


def _by_function(state: ModelState, is_chosen: Callable[[Any], bool]) -> list[Any]:
    """Return the layers that a function chooses, the outermost ones.

    A layer is chosen with all that is inside of it. Where the function chooses some of that and
    not the rest, nobody could tell which of the two was meant.
    """
    inside: dict[int, list[Own]] = {}
    for own in state.owns:
        if own.place.around is not None:
            inside.setdefault(id(own.place.around), []).append(own)
    holding = _holding(state)

    def choose(own: Own) -> tuple[list[Any], list[Place]]:
        """Return the layers chosen at a place or in it, and the places left out."""
        place = own.place
        chosen, left = [], []
        for inner in inside.get(id(place), []):
            if id(inner.place) in holding:
                more, missed = choose(inner)
                chosen += more
                left += missed
        is_layer = place.around is not None and hasattr(place.saveable, "weights")
        if not is_layer:
            return chosen, left
        if not is_chosen(place.saveable):
            if not chosen:
                return [], [place]
            return chosen, [*left, place] if own.variables else left
        if chosen and left:
            raise StateTypeError(
                f"The function chooses the layer {place.name!r} of {state.model.name!r}, some of "
                f"the layers inside of it, and not {left[0].name!r}; let it choose either the "
                "layer or what is inside of it."
            )
        return [place.saveable], []

    return choose(state.owns[0])[0]


def _holding(state: ModelState) -> set[int]:
    """Return the places that have state, they themselves or inside of them, by identity."""
    holding: set[int] = set()
    for own in state.owns:
        place: Place | None = own.place if own.variables or own.extras else None
        while place is not None:
            holding.add(id(place))
            place = place.around
    return holding


def _layer_of(state: ModelState, name: str) -> Place | None:
    """Return the layer of a name or path, None where there is none."""
    parts = tuple(str(name).split("/"))
    places = [
        own.place
        for own in state.owns
        if own.place.path and hasattr(own.place.saveable, "weights")
    ]
    exact = [place for place in places if place.shown == parts]
    exact = exact or [place for place in places if place.path == parts]
    found = exact or [place for place in places if place.shown[-len(parts) :] == parts]
    if len(found) > 1:
        raise StateTypeError(
            f"The model {state.model.name!r} has {len(found)} layers {name!r}: "
            f"{', '.join(place.name for place in found)}; give the path of one of them."
        )
    return found[0] if found else None


def _variables_of(state: ModelState, name: str, is_layer: bool) -> list[Any]:
    """Return the variables of a name or path.

    Raises
    ------
    StateTypeError
        If there are none.
    """
    exact = [one.variable for one in state.expected if name in (one.name, one.shown)]
    found = exact or [
        one.variable for one in state.expected if f"/{one.name}".endswith(f"/{name}")
    ]
    if found:
        return found
    if is_layer:
        raise StateTypeError(
            f"The model {state.model.name!r} has no layer {name!r}; "
            f"its layers are {_listed(state)}."
        )
    names = ", ".join(one.name for one in state.expected[:_LISTED])
    raise StateTypeError(
        f"The model {state.model.name!r} has no variable {name!r}; its variables are {names}."
    )


def _listed(state: ModelState) -> str:
    names = ["/".join(own.place.shown) for own in state.owns if own.place.path]
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
