"""Estimators of scikit-learn and boosters of XGBoost, through skops and XGBoost's own format.

skops writes an archive of arrays and a description in JSON, and reads it without pickle. The
names of its parts are addresses in memory and random numbers; here they are numbered, so that
equal estimators are stored equally.
"""

import importlib
import json
import sys
import zipfile
from io import BytesIO
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from fedstate.state.codecs.npy import decode_array, encode_array, without_padding
from fedstate.state.errors import StateDamagedError, StateTypeError
from fedstate.state.kinds.base import Branch, Kind, Reader, only

_SCHEMA = "schema.json"
# Their own classes, such as the trees of a forest, are no code of a stranger's.
_TRUSTED = ("sklearn.", "xgboost.", "lightgbm.", "catboost.")


def _is_estimator(value: object) -> bool:
    base = getattr(sys.modules.get("sklearn.base"), "BaseEstimator", None)
    return isinstance(base, type) and isinstance(value, base)


def _is_booster(value: object) -> bool:
    return type(value) is getattr(sys.modules.get("xgboost"), "Booster", None)


def _skops() -> Any:
    try:
        return importlib.import_module("skops.io")
    except ImportError:
        raise StateTypeError(
            "an estimator of scikit-learn is stored by the package skops, which is not "
            "installed; install it, for instance with fedstate[sklearn]"
        ) from None


def _estimator_node(value: Any, branch: Branch) -> list[Any]:
    skops = _skops()
    try:
        data = skops.dumps(value)
        foreign = _foreign(skops, data)
    except StateTypeError:
        raise
    except Exception as error:
        raise StateTypeError(
            f"{branch.shown} is a {type(value).__qualname__} that skops cannot store: {error}"
        ) from error
    if foreign:
        raise StateTypeError(
            f"{branch.shown} is a {type(value).__qualname__} that consists of {foreign[0]}, "
            "which scikit-learn does not bring and nobody could read safely; register the "
            "estimator's type (fedstate.state.register)"
        )
    with zipfile.ZipFile(BytesIO(data)) as archive:
        numbers: dict[str, str] = {}
        schema = _numbered(json.loads(archive.read(_SCHEMA)), numbers, {})
        parts = [(number, _clean(archive.read(name))) for name, number in numbers.items()]
    nodes = [[number, _bytes_node(part, branch.child(number))] for number, part in parts]
    # As text: the order of its keys is content.
    return [json.dumps(schema), nodes]


def _read_estimator(content: Any, reader: Reader) -> Any:
    skops = _skops()
    schema, parts = content
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(_SCHEMA, only(schema, str))
        for name, part in parts:
            archive.writestr(name, _read_bytes(part, reader))
    data = buffer.getvalue()
    untrusted = skops.get_untrusted_types(data=data)
    if foreign := [name for name in untrusted if not name.startswith(_TRUSTED)]:
        raise StateDamagedError(f"an estimator has a part of the type {foreign[0]}")
    return skops.loads(data, trusted=untrusted)


def _foreign(skops: Any, data: bytes) -> list[str]:
    names: list[str] = skops.get_untrusted_types(data=data)
    return [name for name in names if not name.startswith(_TRUSTED)]


def _numbered(node: Any, files: dict[str, str], ids: dict[int, int]) -> Any:
    """Return skops's description with its files, and objects that are shared, numbered."""
    if isinstance(node, list):
        return [_numbered(item, files, ids) for item in node]
    if not isinstance(node, dict):
        return node
    node = dict(node)
    if node.get("is_json"):
        # Whether two equal numbers or texts are one object is a matter of chance.
        node.pop("__id__", None)
    elif "__id__" in node:
        node["__id__"] = ids.setdefault(node["__id__"], len(ids) + 1)
    if isinstance(node.get("file"), str):
        name = node["file"]
        node["file"] = files.setdefault(name, f"{len(files)}.{name.rpartition('.')[2]}")
    return {key: _numbered(item, files, ids) for key, item in node.items()}


def _clean(part: bytes) -> bytes:
    """Return a part, with the bytes between the values of a structure zeroed.

    They are no content. The nodes of a tree are such structures, with what was in memory there.
    """
    if not part.startswith(npy_format.MAGIC_PREFIX):
        return part
    array = np.load(BytesIO(part), allow_pickle=False)
    if array.dtype.names is None:
        return part
    buffer = BytesIO()
    np.save(buffer, without_padding(array), allow_pickle=False)
    return buffer.getvalue()


def _bytes_node(data: bytes | bytearray, branch: Branch) -> Any:
    return branch.array(encode_array(np.frombuffer(data, np.uint8)))


def _read_bytes(node: Any, reader: Reader) -> bytes:
    return decode_array(reader.array(node)).tobytes()


def _booster_node(value: Any, branch: Branch) -> list[Any]:
    # The model alone has no parameters of the training: the next round would go on otherwise.
    return [
        value.save_config(),
        _bytes_node(value.save_raw("ubj"), branch.child("model")),
    ]


def _read_booster(content: Any, reader: Reader) -> Any:
    try:
        xgboost = importlib.import_module("xgboost")
    except ImportError:
        raise StateTypeError("it holds a booster of XGBoost; install xgboost") from None
    config, model = content
    booster = xgboost.Booster()
    booster.load_model(bytearray(_read_bytes(model, reader)))
    booster.load_config(only(config, str))
    return booster


KINDS = (
    Kind(
        "sklearn",
        (),
        _estimator_node,
        _read_estimator,
        (
            (
                "estimators of scikit-learn, and of XGBoost in its form (with the package skops: "
                "`fedstate[sklearn]`)"
            ),
            "the same, fitted or not",
        ),
        _is_estimator,
    ),
    Kind(
        "xgboost.Booster",
        (),
        _booster_node,
        _read_booster,
        ("`xgboost.Booster`", "the same, with the parameters of its training"),
        _is_booster,
    ),
)
