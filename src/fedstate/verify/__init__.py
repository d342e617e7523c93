"""The verifier: what the nodes hold, compared with what the server was told."""

from typing import TYPE_CHECKING

from fedstate.lazy import lazy_exports

if TYPE_CHECKING:
    from fedstate.verify.checks import CHECKS, Finding, Place
    from fedstate.verify.evidence import RunEvidence, read_runs
    from fedstate.verify.report import Report, verify

__all__ = ["CHECKS", "Finding", "Place", "Report", "RunEvidence", "read_runs", "verify"]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    __getattr__ = lazy_exports(
        __name__,
        {
            "CHECKS": ".checks",
            "Finding": ".checks",
            "Place": ".checks",
            "Report": ".report",
            "RunEvidence": ".evidence",
            "read_runs": ".evidence",
            "verify": ".report",
        },
    )
