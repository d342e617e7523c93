"""A state's content as a whole: which codec stored what, and whether it is as committed."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from flwr.app import ConfigRecord, RecordDict

from fedstate.state.codecs.base import Encoded
from fedstate.state.digest import Digester, combine
from fedstate.state.errors import StateDamagedError, StateTypeError
from fedstate.state.ledger import LEDGER_RECORD, Ledger, LedgerEntry

MANIFEST_RECORD = "fedstate.codecs"
RESERVED_PREFIX = "fedstate."
_DIGEST = re.compile("[0-9a-f]{64}")
_FIXED = "sealed"  # what 0.1.0 called it


@dataclass(frozen=True)
class Stored:
    """What the manifest says of one value: the codec and version that stored it.

    Attributes
    ----------
    tag, version, meta, fixed
        As in `Codec` and `Encoded`.
    """

    tag: str
    version: int
    meta: dict[str, Any] = field(default_factory=dict)
    fixed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, name: str, text: object) -> Self:
        """Return what a line of the manifest says.

        Raises
        ------
        StateDamagedError
            If it says nothing of the kind.
        """
        try:
            fields = json.loads(text) if isinstance(text, str) else None
            if isinstance(fields, dict):
                fields["fixed"] = fields.pop(_FIXED, {})
            stored = cls(**fields) if isinstance(fields, dict) else None
        except (ValueError, TypeError, RecursionError):
            stored = None
        if (
            stored is None
            or type(stored.tag) is not str
            or type(stored.version) is not int
            or stored.version < 1
            or type(stored.meta) is not dict
            or type(stored.fixed) is not dict
            or not all(map(_is_digest, stored.fixed.values()))
        ):
            raise StateDamagedError(
                f"State value {name!r}: the record {MANIFEST_RECORD!r} says "
                f"{str(text)[:200]!r} of it, which cannot be read."
            )
        return stored

    def to_json(self) -> str:
        """Return a line of the manifest; the same content is always the same line."""
        fields: dict[str, Any] = {"tag": self.tag, "version": self.version}
        fields |= {"meta": self.meta} if self.meta else {}
        fields |= {_FIXED: self.fixed} if self.fixed else {}
        return json.dumps(fields, sort_keys=True)

    def encoded(self, records: RecordDict, name: str) -> Encoded:
        """Return the value as its codec reads it."""
        return Encoded(records[name], self.meta, self.fixed)


def read_manifest(records: RecordDict) -> dict[str, Stored]:
    """Return, by name, what is known of the values in `records`.

    Raises
    ------
    StateDamagedError
        If the manifest cannot be read, or names a value that is not there.
    """
    manifest = records.get(MANIFEST_RECORD, ConfigRecord())
    missing = [name for name in manifest if name not in records]
    if missing or not isinstance(manifest, ConfigRecord):
        raise StateDamagedError(
            f"The state's record {MANIFEST_RECORD!r} names values that are not there: "
            f"{', '.join(missing)}."
        )
    return {name: Stored.from_json(name, text) for name, text in manifest.items()}


def write_manifest(records: RecordDict, manifest: Mapping[str, Stored]) -> None:
    """Put the manifest into `records`; without values there is none."""
    records.pop(MANIFEST_RECORD, None)
    if manifest:
        lines = {name: stored.to_json() for name, stored in manifest.items()}
        records[MANIFEST_RECORD] = ConfigRecord(lines)  # type: ignore[arg-type]


def record_digests(
    records: RecordDict,
    digester: Digester | None = None,
    manifest: Mapping[str, Stored] | None = None,
    known: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the digest of every record but the ledger, by name.

    Parameters
    ----------
    records : RecordDict
        A Context's ``state``.
    digester : Digester | None
        One that remembers arrays hashed before.
    manifest : Mapping[str, Stored] | None
        What is known of the values: arrays that are fixed there are not hashed. Without it,
        everything is.
    known : Mapping[str, str] | None
        Digests of records that are not to be hashed (yet).
    """
    digester, manifest, known = digester or Digester(), manifest or {}, known or {}

    def digest(name: str) -> str:
        fixed = manifest[name].fixed if name in manifest else None
        return known.get(name) or digester.record(name, records[name], fixed)

    return {name: digest(name) for name in records if name != LEDGER_RECORD}


def content_digest(records: RecordDict) -> str:
    """Return the digest of a state's content as it is now: SHA-256, in hexadecimal.

    Parameters
    ----------
    records : RecordDict
        A Context's ``state``; its ledger is not part of the content.

    Raises
    ------
    StateTypeError
        If a record holds what Flower cannot send.
    """
    return combine(record_digests(records))


def check_content(
    records: RecordDict,
    ledger: Ledger,
    digester: Digester | None = None,
    manifest: Mapping[str, Stored] | None = None,
    known: Mapping[str, str] | None = None,
) -> None:
    """Check a state's content against its ledger.

    Parameters
    ----------
    records, digester, manifest, known
        As in `record_digests`.
    ledger : Ledger
        The ledger.

    Raises
    ------
    StateDamagedError
        If they differ; it names the records.
    """
    try:
        digests = record_digests(records, digester, manifest, known)
    except StateTypeError as error:
        raise StateDamagedError(str(error)) from error
    if combine(digests) != ledger.last.digest:
        raise damage(ledger, digests)


def damage(ledger: Ledger, found: Mapping[str, str]) -> StateDamagedError:
    """Return the error that says how the digests found differ from the ledger's."""
    last = ledger.last
    return StateDamagedError(
        f"The state of run {last.run_id} on node {last.node_id} is not as commit {last.sequence} "
        f"left it: {_difference(found, ledger.digests)} It was changed outside a commit or is "
        f"damaged (digest {combine(found)[:12]}…, committed {last.digest[:12]}…). Restore it "
        "from a backup, or start a new run."
    )


def check_state(records: RecordDict) -> LedgerEntry | None:
    """Check a whole state, every byte and every entry, and return its newest ledger entry.

    Parameters
    ----------
    records : RecordDict
        A Context's ``state``.

    Returns
    -------
    LedgerEntry | None
        None where there is no ledger, and so nothing to check against.

    Raises
    ------
    StateDamagedError
        If content and ledger do not agree, or an entry does not continue the one before it.
    StateVersionError
        If a newer fedstate wrote it.
    """
    ledger = Ledger.read(records)
    if ledger is None:
        if MANIFEST_RECORD in records:
            raise StateDamagedError(
                f"The state has values of fedstate's ({', '.join(read_manifest(records))}), "
                "and no ledger: it is damaged. Restore it from a backup, or start a new run."
            )
        return None
    check_content(records, ledger)
    return ledger.entries()[-1]


def _difference(found: Mapping[str, str], committed: Mapping[str, str]) -> str:
    changed = sorted(n for n in found if n in committed and found[n] != committed[n])
    parts = [
        f"{what} {', '.join(map(repr, names))}"
        for what, names in (
            ("changed:", changed),
            ("missing:", sorted(committed.keys() - found.keys())),
            ("added:", sorted(found.keys() - committed.keys())),
        )
        if names
    ]
    return "; ".join(parts) + "." if parts else "its ledger was changed."


def _is_digest(text: object) -> bool:
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None
