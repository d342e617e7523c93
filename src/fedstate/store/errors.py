"""The exceptions of the node store.

StoreError
 ├─ StoreInUseError    another process holds the store
 ├─ StoreDamagedError  a file is missing, a checksum is wrong, or the store is an older copy
 ├─ StoreAccessError   a file of the store may not, or cannot now, be used
 ├─ StoreFullError     the disk has no room for a new value; the old one is still there
 ├─ StoreForeignError  the store belongs to another node, or a newer fedstate wrote it
 └─ StoreKeyError      the encryption key is missing, wrong or not a key
"""

from fedstate.errors import FedstateError


class StoreError(FedstateError):
    """The node store cannot do what was asked of it."""


class StoreInUseError(StoreError):
    """Another process holds the store."""


class StoreDamagedError(StoreError):
    """A file is missing, a checksum is wrong, or the store is an older copy."""


class StoreAccessError(StoreError):
    """A file may not be used by this user, or cannot now; nothing else is known of it then."""


class StoreFullError(StoreError):
    """The disk has no room for a new value; the old value is still there."""


class StoreForeignError(StoreError):
    """The store belongs to another node, or a newer fedstate wrote it."""


class StoreKeyError(StoreError):
    """The encryption key is missing, wrong or not a key."""


class DamagedValueError(Exception):
    """What is stored is not what was stored; the text says what was found."""
