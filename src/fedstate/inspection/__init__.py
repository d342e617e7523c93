"""Looking into a node's store from Python: runs, values, histories, as plain objects.

Nothing is locked and nothing is changed: the store may be that of a SuperNode that runs or not,
or a backup. Nothing of an app is imported or called, and no framework either until a value of
that framework is loaded.

>>> import fedstate
>>> with fedstate.open_store(".fedstate/node-1") as store:  # doctest: +SKIP
...     run = store.runs["1234"]
...     print(run.status, run.values["weights"].shape)
...     frame = run.history("loss").frame()
"""

from typing import TYPE_CHECKING

from fedstate.lazy import lazy_exports

if TYPE_CHECKING:
    from fedstate.inspection.difference import Change, Difference, compare
    from fedstate.inspection.errors import InspectionError
    from fedstate.inspection.histories import histories_of, study
    from fedstate.inspection.run import Run, Step
    from fedstate.inspection.state import State
    from fedstate.inspection.store import Runs, Store, open_store
    from fedstate.inspection.tables import Table
    from fedstate.inspection.value import ArrayInfo, Value

__all__ = [
    "ArrayInfo",
    "Change",
    "Difference",
    "InspectionError",
    "Run",
    "Runs",
    "State",
    "Step",
    "Store",
    "Table",
    "Value",
    "compare",
    "histories_of",
    "open_store",
    "study",
]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    __getattr__ = lazy_exports(
        __name__,
        {
            "ArrayInfo": ".value",
            "Change": ".difference",
            "Difference": ".difference",
            "InspectionError": ".errors",
            "Run": ".run",
            "Runs": ".store",
            "State": ".state",
            "Step": ".run",
            "Store": ".store",
            "Table": ".tables",
            "Value": ".value",
            "compare": ".difference",
            "histories_of": ".histories",
            "open_store": ".store",
            "study": ".histories",
        },
    )
