"""The verifier: what nodes say of their steps, compared with what the SuperLink has of them."""

from typing import TYPE_CHECKING

from fedstate.lazy import lazy_exports

if TYPE_CHECKING:
    from fedstate.verify.evidence import Evidence, NodeEvidence, RunEvidence
    from fedstate.verify.findings import CHECKS, Finding, Level, Place
    from fedstate.verify.report import Report
    from fedstate.verify.told import ToldRun, read_told
    from fedstate.verify.verifier import Verifier

__all__ = [
    "CHECKS",
    "Evidence",
    "Finding",
    "Level",
    "NodeEvidence",
    "Place",
    "Report",
    "RunEvidence",
    "ToldRun",
    "Verifier",
    "read_told",
]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    __getattr__ = lazy_exports(
        __name__,
        {
            "CHECKS": ".findings",
            "Evidence": ".evidence",
            "Finding": ".findings",
            "Level": ".findings",
            "NodeEvidence": ".evidence",
            "Place": ".findings",
            "Report": ".report",
            "RunEvidence": ".evidence",
            "ToldRun": ".told",
            "Verifier": ".verifier",
            "read_told": ".told",
        },
    )
