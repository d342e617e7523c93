"""The state of a model as named arrays, and how it is put back, all of it or nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from fedstate.state.codecs.keras.match import Expected, match
from fedstate.state.codecs.keras.own import Own, array_of, own_of, put
from fedstate.state.codecs.keras.rollback import all_or_nothing
from fedstate.state.codecs.keras.walk import walk
from fedstate.state.errors import StateDamagedError, StateError, StateFitError

# Stands in the names of what is not a variable, between the layer and what it is called.
_EXTRA = "@"


@dataclass
class ModelState:
    """Everything that makes up the state of a model or layer, found by Keras's own protocol.

    Attributes
    ----------
    model : Any
        The model.
    owns : list[Own]
        What each of its places saves.
    """

    model: Any
    owns: list[Own]

    @classmethod
    def of(cls, model: Any) -> "ModelState":
        """Return the state of a model.

        Raises
        ------
        StateTypeError
            If a layer cannot save itself.
        """
        owns = [own_of(place) for place in walk(model)]
        optimizer = getattr(model, "optimizer", None)
        known = {id(v) for own in owns for v in own.variables.values()}
        known |= {id(v) for v in (*getattr(optimizer, "variables", ()), *_of_metrics(model))}
        for own in owns:
            known |= own.add_loose(known)
        return cls(model, owns)

    @cached_property
    def expected(self) -> list[Expected]:
        """The variables, each once, those of ``model.weights`` first, in its order."""
        found: dict[int, Expected] = {}
        for own in self.owns:
            for name, variable in own.variables.items():
                if id(variable) not in found:
                    path = "/".join((*own.place.path, name))
                    shown = "/".join((*own.place.shown, name))
                    found[id(variable)] = Expected(path, shown, variable)
        weights = [id(weight) for weight in self.model.weights if id(weight) in found]
        rest = found.keys() - set(weights)
        ordered = [found[i] for i in dict.fromkeys(weights)]
        return ordered + [one for i, one in found.items() if i in rest]

    @property
    def counted(self) -> list[str]:
        """The paths of layers whose names Keras counted."""
        return sorted(own.place.name for own in self.owns if own.place.is_counted)

    def arrays(self, variables: set[int] | None, owns: Iterable[Own]) -> dict[str, NDArray[Any]]:
        """Return arrays by name.

        Parameters
        ----------
        variables : set[int] | None
            Which variables, by identity; None for all.
        owns : Iterable[Own]
            The places of which what is not a variable is given, too.
        """
        result = {
            one.name: array_of(one.variable)
            for one in self.expected
            if variables is None or id(one.variable) in variables
        }
        for own in owns:
            for key, array in own.extras.items():
                result["/".join((*own.place.path, _EXTRA, key))] = array
        return result

    def load(
        self,
        stored: Mapping[str, NDArray[Any]],
        counted: Iterable[str],
        variables: set[int] | None,
        owns: list[Own],
        is_part: bool = False,
    ) -> None:
        """Put arrays into the model, after all of them were found to fit.

        Parameters
        ----------
        stored : Mapping[str, NDArray]
            The arrays by name, as `arrays` gives them.
        counted : Iterable[str]
            The paths of layers whose names Keras counted when they were stored.
        variables, owns
            Which variables and places take them, as for `arrays`.
        is_part : bool
            Whether what is not stored stays as it is.

        Raises
        ------
        StateFitError
            If they do not fit; the model is as it was then.
        """
        plain = {name: a for name, a in stored.items() if f"/{_EXTRA}/" not in f"/{name}"}
        extras = _by_path({name: a for name, a in stored.items() if name not in plain})
        expected = [
            one
            for one in self.expected
            if (variables is None or id(one.variable) in variables)
            and (not is_part or one.name in plain)
        ]
        try:
            pairs = match(plain, expected, (set(counted), set(self.counted)))
        except StateFitError:
            self._check_built([*plain, *extras])
            raise
        taking = self._taking(extras, owns, _moved(pairs))
        self._put({id(one.variable): plain[name] for name, one in pairs}, taking, owns, is_part)

    def put_variables(self, arrays: Mapping[int, NDArray[Any]]) -> None:
        """Put arrays into variables by their identity, and let their layers follow."""
        self._put(arrays, {}, self.owns, is_part=True)

    def _put(
        self,
        arrays: Mapping[int, NDArray[Any]],
        extras: Mapping[int, Mapping[str, NDArray[Any]]],
        owns: Iterable[Own],
        is_part: bool,
    ) -> None:
        touched = [
            own
            for own in owns
            if id(own) in extras
            or any(id(variable) in arrays for variable in own.variables.values())
            or (not is_part and own.takes_extras())
        ]
        objects = [own.place.saveable for own in touched]
        variables = {id(v): v for own in touched for v in own.variables.values()}
        try:
            with all_or_nothing(objects, variables.values()):
                for own in touched:
                    put(own, arrays, extras.get(id(own), own.extras if is_part else {}))
        except StateError:
            raise
        except Exception as error:
            raise StateFitError(
                f"the layer {own.place.name or own.place.saveable.name!r} does not take what is "
                f"stored: {error}"
            ) from error

    def _taking(
        self, extras: Mapping[str, Any], owns: Iterable[Own], moved: Mapping[str, str]
    ) -> dict[int, Any]:
        """Return what is not a variable by the identity of the place that takes it."""
        takers = {own.place.name: own for own in owns if own.takes_extras()}
        result = {}
        for path, content in extras.items():
            taker = takers.get(moved.get(path, path))
            if taker is None:
                self._check_built([path])
                raise StateFitError(
                    f"what the layer {path!r} saved is stored ({', '.join(content)}), and the "
                    "model has no such layer that loads it"
                )
            result[id(taker)] = content
        return result

    def _check_built(self, names: Iterable[str]) -> None:
        """Say so where a layer lacks variables because it is not built yet."""
        stored = list(names)
        model = self.model
        if getattr(model, "built", True) and self.expected:
            unbuilt = [
                own.place.name
                for own in self.owns
                if not getattr(own.place.saveable, "built", True)
                and own.place.path
                and any(name.startswith(f"{own.place.name}/") for name in stored)
            ]
            if not unbuilt:
                return
            what = f"the layer {unbuilt[0]!r} of {model.name!r}"
        elif getattr(model, "built", True):
            return
        else:
            what = f"the model {model.name!r}"
        raise StateFitError(
            f"{what} is not built yet and has no variables to load into; build it, or call it "
            "once on data, and load then"
        )


def _of_metrics(model: Any) -> list[Any]:
    return [v for metric in getattr(model, "metrics", ()) for v in metric.variables]


def _moved(pairs: list[tuple[str, Expected]]) -> dict[str, str]:
    """Return which place of the target a stored place was found to be, where names differ."""
    moved: dict[str, str] = {}
    for name, one in pairs:
        ours, theirs = name.split("/")[:-1], one.name.split("/")[:-1]
        for end in range(1, min(len(ours), len(theirs)) + 1):
            moved["/".join(ours[:end])] = "/".join(theirs[:end])
    return moved


def _by_path(extras: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, NDArray[Any]]]:
    result: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in extras.items():
        path, found, key = f"/{name}".partition(f"/{_EXTRA}/")
        if not found or not key:
            raise StateDamagedError(f"it has an array of the name {name!r}, which means nothing")
        result.setdefault(path.removeprefix("/"), {})[key] = array
    return result
