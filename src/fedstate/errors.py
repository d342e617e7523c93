"""The exceptions that fedstate raises for a user's or an operator's mistake.

FedstateError
 ├─ SettingError        a setting, an option or a run config has a value that cannot be used
 ├─ CertificateError    a certificate or key is missing, expired, or not what it should be
 ├─ FederationError     a SuperLink, SuperNode or executor did not start, connect or stop
 └─ EvidenceError       what `fedstate verify` should read is missing or damaged

Each message is one sentence that says what was wrong, with the value, and what to do. The
command line prints it without a traceback and exits with code 1. Packages with errors of their
own (state, store) derive them from `FedstateError` in their own ``errors.py``.
"""


class FedstateError(Exception):
    """The base of every error that fedstate raises on purpose."""


class SettingError(FedstateError):
    """A setting, an option or a run config has a value that cannot be used."""


class CertificateError(FedstateError):
    """A certificate or key is missing, expired, or not what it should be."""


class FederationError(FedstateError):
    """A SuperLink, SuperNode or executor did not start, connect or stop."""


class EvidenceError(FedstateError):
    """What ``fedstate verify`` should read is missing or damaged."""
