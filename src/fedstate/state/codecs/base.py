"""What a codec is: how one type of value becomes one Flower record, and comes back.

Each value is stored with the codec's tag and version, so what wrote it is known when it is read
(the habit of temporalio's ``EncodingPayloadConverter``). Nothing is ever pickled.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from fedstate.state.digest import Record
from fedstate.state.errors import StateFitError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Encoded:
    """A value as it is stored.

    Attributes
    ----------
    record : ArrayRecord | MetricRecord | ConfigRecord
        The content; it stands in the Context's state under the value's own name.
    meta : dict[str, Any]
        What the codec must know to read it, as plain JSON; kept beside the tag.
    fixed : dict[str, str]
        Digests, by key, of arrays in the record that never change again. A step takes them for
        granted instead of hashing those arrays; `decode` checks what it reads against them.
    version : int | None
        An older version of the stored form, where the value has the same form in it: so it can
        be read by an older fedstate too, and keeps its digest. None is the codec's own version.
    """

    record: Record
    meta: dict[str, Any] = field(default_factory=dict)
    fixed: dict[str, str] = field(default_factory=dict)
    version: int | None = None


Migration = Callable[[Encoded], Encoded]


class Codec(ABC, Generic[Value]):
    """How values of one type are stored.

    Attributes
    ----------
    tag : str
        The name that is stored with each value; never change it.
    version : int
        The version that `encode` writes; raise it by one when the stored form changes.
    migrations : Mapping[int, Migration]
        For every older version, the step that turns it into the next.
    described : tuple[tuple[str, str], ...]
        What the guide's table says: values of which kind, and what they come back as.
    """

    tag: ClassVar[str]
    version: ClassVar[int] = 1
    migrations: ClassVar[Mapping[int, Migration]] = {}
    described: ClassVar[tuple[tuple[str, str], ...]] = ()

    @abstractmethod
    def accepts(self, value: object) -> bool:
        """Return whether `value` is of the type that this codec stores."""

    @abstractmethod
    def encode(self, value: Any) -> Encoded:
        """Return the stored form of `value`.

        Raises
        ------
        StateTypeError
            If the value is of the right type, but has content that cannot be stored.
        """

    @abstractmethod
    def decode(self, encoded: Encoded) -> Value:
        """Return the value, of the same type and content as the one stored.

        Raises
        ------
        StateDamagedError
            If `encoded` is not what `encode` writes.
        """

    def load(self, encoded: Encoded, into: object) -> None:  # noqa: ARG002
        """Put the stored value into a model, all of it or nothing.

        Raises
        ------
        StateFitError
            If it does not fit.
        """
        raise StateFitError(
            f"it was stored as {self.tag!r}, which cannot be loaded into a "
            f"{type(into).__name__}; read it with state[...] instead"
        )
