"""Python's collections: sets, double-ended queues, and the relatives of the dictionary."""

import json
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from fedstate.state.errors import StateDamagedError, StateTypeError
from fedstate.state.kinds.base import Branch, Kind, Reader, as_plain, only

# What a defaultdict may call for a missing key; types that the app registered are added to it.
_FACTORIES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        *(bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset),
        *(Counter, OrderedDict, defaultdict, deque),
    )
}


def dict_pairs(value: dict[Any, Any], branch: Branch) -> list[list[Any]]:
    """Return a dictionary's keys and items as JSON, sorted: the order is no content."""
    pairs = []
    for key, item in value.items():
        key_node = branch.child(repr(key)).inline().node(key)
        plain = type(key) in (str, int, float, bool, bytes, type(None))
        # A set's representation depends on the process; what is stored of it does not.
        place = repr(key) if plain else canonical(key_node)
        pairs.append([key_node, branch.child(place).node(item)])
    return sorted(pairs, key=lambda pair: canonical(pair[0]))


def read_pairs(content: Any, reader: Reader) -> list[tuple[Any, Any]]:
    """Return the keys and items that were stored as JSON."""
    return [(reader.value(key), reader.value(item)) for key, item in content]


def canonical(node: Any) -> str:
    """Return JSON as text that is the same for equal values."""
    return json.dumps(node, sort_keys=True)


def _set_node(value: Any, branch: Branch) -> list[Any]:
    return sorted((branch.child("").inline().node(item) for item in value), key=canonical)


def _read_set(kind: Callable[[Any], Any]) -> Callable[[Any, Reader], Any]:
    return lambda content, reader: kind([reader.value(item) for item in content])


def _ordered_node(value: Any, branch: Branch) -> list[Any]:
    pairs = []
    for key, item in value.items():
        place = key if type(key) is str else canonical(branch.inline().node(key))
        pairs.append([branch.child(place).inline().node(key), branch.child(place).node(item)])
    # PyTorch keeps the versions of modules in an attribute of their state_dict.
    attributes = vars(value)
    return [pairs, branch.child("@").node(dict(attributes))] if attributes else [pairs]


def _read_ordered(content: Any, reader: Reader) -> Any:
    value: OrderedDict[Any, Any] = OrderedDict(read_pairs(content[0], reader))
    if len(content) > 1:
        vars(value).update(only(reader.value(content[1]), dict))
    return value


def _default_node(value: Any, branch: Branch) -> list[Any]:
    return [_factory_node(value.default_factory, branch), dict_pairs(value, branch)]


def _factory_node(factory: Any, branch: Branch) -> Any:
    if factory is None:
        return None
    name = getattr(factory, "__name__", "")
    if _FACTORIES.get(name) is factory:
        return name
    from fedstate.state.codecs.registry import codecs  # it imports this module itself

    codec = codecs.for_type(factory) if isinstance(factory, type) else None
    if codec is None:
        raise StateTypeError(
            f"{branch.shown} is a defaultdict that calls {factory!r} for a missing key, which is "
            "code and cannot be stored; use a built-in type (int, list, …) or a registered one, "
            "or store dict(…) of it"
        )
    return [codec.tag]


def _read_default(content: Any, reader: Reader) -> Any:
    name, pairs = content
    factory: Any = None
    if isinstance(name, list):
        from fedstate.state.codecs.registry import codecs

        factory = codecs.type_of(only(name[0], str))
    elif name is not None:
        factory = _FACTORIES.get(only(name, str))
        if factory is None:
            raise StateDamagedError(f"a defaultdict calls the unknown type {name!r}")
    return defaultdict(factory, read_pairs(pairs, reader))


KINDS = (
    Kind("set", (set,), _set_node, _read_set(set), ("`set`, `frozenset`", "the same")),
    Kind("frozenset", (frozenset,), _set_node, _read_set(frozenset)),
    Kind(
        "deque",
        (deque,),
        lambda value, branch: [value.maxlen, branch.node(list(value))],
        lambda content, reader: deque(only(reader.value(content[1]), list), content[0]),
        ("`collections.deque`", "the same, `maxlen` included"),
    ),
    Kind(
        "OrderedDict",
        (OrderedDict,),
        _ordered_node,
        _read_ordered,
        ("`collections.OrderedDict`", "the same, in its order"),
    ),
    Kind(
        "Counter",
        (Counter,),
        dict_pairs,
        lambda content, reader: Counter(dict(read_pairs(content, reader))),
        ("`collections.Counter`", "the same, sorted by key"),
    ),
    Kind(
        "defaultdict",
        (defaultdict,),
        _default_node,
        _read_default,
        (
            "`collections.defaultdict` of a built-in or registered type",
            "the same, sorted by key",
        ),
    ),
    as_plain(
        "SimpleNamespace",
        SimpleNamespace,
        vars,
        lambda content: SimpleNamespace(**only(content, dict)),
        ("`types.SimpleNamespace`", "the same"),
    ),
)
