"""Which codec stores which value: the built-in ones, and those that an app registers."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from fedstate.state.codecs.arrays import ArrayCodec
from fedstate.state.codecs.base import Codec, Encoded
from fedstate.state.codecs.keras_optimizer import KerasOptimizerCodec
from fedstate.state.codecs.keras_weights import KerasWeightsCodec
from fedstate.state.codecs.objects import ObjectCodec
from fedstate.state.codecs.registered import TypeCodec, codec_of_class
from fedstate.state.codecs.scalars import ScalarCodec
from fedstate.state.codecs.torch_state import TorchStateCodec
from fedstate.state.codecs.torch_training import TorchOptimizerCodec, TorchSchedulerCodec
from fedstate.state.errors import (
    StateDamagedError,
    StateError,
    StateTypeError,
    StateVersionError,
)
from fedstate.state.history import HistoryCodec

Class = TypeVar("Class", bound=type)


class Registry:
    """Codecs by tag; the first that accepts a value stores it, the newest registered first."""

    def __init__(self) -> None:
        self._codecs: dict[str, Codec[Any]] = {}
        self._tags: dict[type, str] = {}  # of the types that the app registered

    def __iter__(self) -> Iterator[Codec[Any]]:
        """Yield all codecs, in the order in which they were registered."""
        return iter(self._codecs.values())

    def add(self, codec: Codec[Any]) -> None:
        """Register a codec.

        Raises
        ------
        StateTypeError
            If another has its tag, or its version is not 1 or more.
        """
        known = self._codecs.get(codec.tag)
        # The Simulation Engine loads an app again and again into one process.
        is_reloaded = isinstance(known, TypeCodec) and known.name == getattr(codec, "name", None)
        if known is not None and not is_reloaded:
            raise StateTypeError(f"The codec tag {codec.tag!r} is taken; choose another.")
        if type(codec.version) is not int or codec.version < 1:
            raise StateTypeError(
                f"The codec {codec.tag!r} has version {codec.version!r}; it must be 1 or more."
            )
        self._codecs[codec.tag] = codec
        if isinstance(codec, TypeCodec):
            self._tags[codec.kind] = codec.tag

    def for_type(self, kind: type) -> TypeCodec | None:
        """Return the codec of a type that the app registered, or None."""
        codec = self._codecs.get(self._tags.get(kind, ""))
        return codec if isinstance(codec, TypeCodec) and codec.kind is kind else None

    def type_of(self, tag: str) -> type:
        """Return the type that the app registered with a tag.

        Raises
        ------
        StateVersionError
            If there is none.
        """
        return self.registered(tag, 1).kind

    def registered(self, tag: str, version: int) -> TypeCodec:
        """Return the codec of a registered type, which can read what a version of it stored.

        Raises
        ------
        StateVersionError
            As in `read`.
        """
        codec = self._known(tag, version)
        if not isinstance(codec, TypeCodec):
            raise StateDamagedError(f"the codec {tag!r} is none of a registered type")
        return codec

    def for_value(self, value: object) -> Codec[Any]:
        """Return the codec that stores `value`."""
        return next(c for c in reversed(self._codecs.values()) if c.accepts(value))

    def read(self, tag: str, version: int, encoded: Encoded) -> tuple[Codec[Any], Encoded]:
        """Return the codec of a stored value, and the value in that codec's current version.

        Raises
        ------
        StateVersionError
            If the tag is unknown, the version is newer than the codec's, or there is no
            migration from it.
        """
        codec = self._known(tag, version)
        for old in range(version, codec.version):
            encoded = guarded(codec, partial(codec.migrations[old], encoded))
        return codec, encoded

    def check(self, tag: str, version: int) -> None:
        """Check that what a version of a codec stored can be read; raise StateVersionError."""
        self._known(tag, version)

    def _known(self, tag: str, version: int) -> Codec[Any]:
        """Return the codec of a tag, after checking that it can read a version."""
        codec = self._codecs.get(tag)
        if codec is None:
            raise StateVersionError(
                f"it was stored by the codec {tag!r} version {version}, which is not registered"
            )
        if version > codec.version:
            raise StateVersionError(
                f"it was stored by the codec {tag!r} version {version}, and this one reads up "
                f"to {codec.version}; use the app or fedstate that wrote it, or a newer one"
            )
        for old in range(version, codec.version):
            if old not in codec.migrations:
                raise StateVersionError(
                    f"it was stored by the codec {tag!r} version {version}, and no migration "
                    f"from version {old} to {old + 1} is registered"
                )
        return codec


def guarded(codec: Codec[Any], read: Callable[[], Any]) -> Any:
    """Return what `read` returns; whatever it trips over is damage, and is called so.

    Every codec checks what it reads. This is for what nobody thought of, in the codecs of apps
    too: content that cannot be read must never look like a bug of the app's own.
    """
    try:
        return read()
    except StateError:
        raise
    except Exception as error:
        raise StateDamagedError(
            f"it was stored by the codec {codec.tag!r} and cannot be read: {error!r}"
        ) from error


codecs = Registry()
for built_in in (
    ObjectCodec,
    ScalarCodec,
    ArrayCodec,
    TorchStateCodec,
    TorchOptimizerCodec,
    TorchSchedulerCodec,
    KerasOptimizerCodec,
    KerasWeightsCodec,
    HistoryCodec,
):
    codecs.add(built_in())


def register(
    kind: type,
    *,
    tag: str,
    encode: Callable[[Any], Any],
    decode: Callable[[Any], Any],
    version: int = 1,
    migrations: Mapping[int, Callable[[Any], Any]] | None = None,
) -> None:
    """Let a type of one's own be stored in client state.

    Parameters
    ----------
    kind : type
        The type; values of this very type are stored, not those of subclasses.
    tag : str
        The name that is stored with each value. Choose one with a dot (``"myapp.vocabulary"``)
        and never change it.
    encode, decode : Callable
        To and from plain values: numbers, text, bytes, arrays, tensors, lists, tuples and
        dictionaries of them.
    version : int
        Raise it by one when `encode` begins to return something else.
    migrations : Mapping[int, Callable] | None
        For each older version, a function from its plain value to that of the next version.

    Raises
    ------
    StateTypeError
        If the tag is taken.
    """
    codecs.add(TypeCodec(kind, tag, version, encode, decode, migrations or {}))


def stored(
    tag: str, *, version: int = 1, migrations: Mapping[int, Callable[[Any], Any]] | None = None
) -> Callable[[Class], Class]:
    """Let a dataclass, an enumeration or a named tuple of one's own be stored: a decorator.

    A dataclass is stored by its attributes and read without calling its ``__init__``. Give a new
    field a default, and what was stored before takes that.

    Parameters
    ----------
    tag : str
        The name that is stored with each value. Choose one with a dot (``"myapp.stats"``) and
        never change it.
    version : int
        Raise it by one when the fields change in another way.
    migrations : Mapping[int, Callable] | None
        For each older version, a function from the dictionary of its fields to that of the next
        version; of an enumeration, from the member's name.

    Raises
    ------
    StateTypeError
        If the tag is taken, or the class is none of these.

    Examples
    --------
    >>> @stored("myapp.stats")
    ... @dataclass
    ... class Stats:
    ...     best_loss: float
    """

    def decorate(kind: Class) -> Class:
        codecs.add(codec_of_class(kind, tag, version, migrations or {}))
        return kind

    return decorate
