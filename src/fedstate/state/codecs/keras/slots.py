"""The variables of an optimizer, named by what they are for, the same in any process."""

from dataclasses import dataclass
from typing import Any

from fedstate.state.codecs.keras.match import Expected
from fedstate.state.codecs.keras.names import paths_by_place, snake_case, unique, variable_name


@dataclass(frozen=True)
class Slots:
    """An optimizer's variables, and which of the layers in their names Keras counted."""

    expected: list[Expected]
    counted: set[str]

    @classmethod
    def of(cls, optimizer: Any) -> "Slots":
        """Return the variables of an optimizer, those of the optimizers inside of it too."""
        expected: list[Expected] = []
        counted: set[str] = set()
        own: list[tuple[Any, list[Any]]] = []
        inside = {id(v) for inner in optimizers_in(optimizer)[1:] for v in inner.variables}
        for one in optimizers_in(optimizer):
            left = inside if one is optimizer else set()
            own.append((one, [v for v in one.variables if id(v) not in left]))
        for one, variables in own:
            names, of_layers = _names(one, variables)
            counted |= of_layers
            expected += [
                Expected(name, str(v.path), v) for name, v in zip(names, variables, strict=True)
            ]
        names = unique(one.name for one in expected)
        order = {id(v): position for position, v in enumerate(optimizer.variables)}
        renamed = [
            Expected(name, one.shown, one.variable)
            for name, one in zip(names, expected, strict=True)
        ]
        return cls(sorted(renamed, key=lambda one: order[id(one.variable)]), counted)


def optimizers_in(optimizer: Any) -> list[Any]:
    """Return an optimizer and those that it hands variables or gradients on to."""
    inner = getattr(optimizer, "inner_optimizer", None)
    several = getattr(optimizer, "optimizers", None)
    found = [optimizer]
    for one in [inner] if inner is not None else list(several or ()):
        found += optimizers_in(one)
    return found


def _names(optimizer: Any, variables: list[Any]) -> tuple[list[str], set[str]]:
    """Return names: the optimizer's class, and for what it keeps of a variable its path."""
    kind = snake_case(type(optimizer).__name__)
    trained = list(getattr(optimizer, "_trainable_variables", []))
    paths, counted = paths_by_place(trained)
    # Keras names a moment after the path of its variable, which it writes with underscores.
    begins = [f"{str(v.path).replace('/', '_')}_" for v in trained]
    seen: dict[str, int] = {}
    names = []
    for variable in variables:
        name = str(variable.name)
        fitting = [i for i, begin in enumerate(begins) if name.startswith(begin)]
        if not fitting:
            names.append(f"{kind}/{variable_name(name)}")
            continue
        longest = max(len(begins[i]) for i in fitting)
        fitting = [i for i in fitting if len(begins[i]) == longest]
        # Two layers of one name: their moments come in the order of their variables.
        turn = seen.get(name, 0)
        seen[name] = turn + 1
        chosen = fitting[min(turn, len(fitting) - 1)]
        names.append(f"{kind}/{paths[chosen]}_{name[longest:]}")
    return names, {f"{kind}/{path}" for path in counted}
