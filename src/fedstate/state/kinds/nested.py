"""What has a codec of its own, such as a model, an optimizer or a history, in a nested value."""

from typing import Any

from flwr.app import ArrayRecord, ConfigRecord

from fedstate.state.codecs.base import Encoded
from fedstate.state.kinds.base import Branch, Kind, Reader, only


def _has_codec(value: object) -> bool:
    from fedstate.state.codecs.registry import codecs  # it imports this module itself

    return codecs.for_value(value).tag != "object"


def _codec_node(value: Any, branch: Branch) -> dict[str, Any]:
    from fedstate.state.codecs.registry import codecs

    codec = codecs.for_value(value)
    encoded = codec.encode(value)
    node = {"tag": codec.tag, "version": encoded.version or codec.version}
    node["meta"] = branch.inline().node(encoded.meta)
    if isinstance(encoded.record, ArrayRecord):
        items = encoded.record.items()
        return {**node, "arrays": [[key, branch.child(key).array(array)] for key, array in items]}
    return {**node, "values": branch.inline().node(dict(encoded.record))}


def _read_codec(content: Any, reader: Reader) -> Any:
    from fedstate.state.codecs.registry import codecs

    meta = only(reader.value(content["meta"]), dict)
    if "arrays" in content:
        arrays = {key: reader.array(array) for key, array in content["arrays"]}
        encoded = Encoded(ArrayRecord(arrays), meta)
    else:
        encoded = Encoded(ConfigRecord(reader.value(content["values"])), meta)
    tag, version = only(content["tag"], str), only(content["version"], int)
    codec, encoded = codecs.read(tag, version, encoded)
    return codec.decode(encoded)


KINDS = (
    Kind(
        "codec",
        (),
        _codec_node,
        _read_codec,
        (
            "models, optimizers, schedulers and histories inside other values",
            "as they do alone",
        ),
        _has_codec,
    ),
)
