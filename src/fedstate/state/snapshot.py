"""A state as it was, so that a step which fails leaves no trace.

Arrays are not copied: their bytes are immutable, so it is enough to keep the references. Lists
are copied, which is one pointer per element. A step that succeeds therefore pays next to
nothing, whatever the size of its state.
"""

from flwr.app import Array, Context

from fedstate.state.digest import Record


class Snapshot:
    """What a Context's state held, down to the elements of lists and the fields of arrays.

    Parameters
    ----------
    context : Context
        The Context; its ``state`` is read now and written back by `restore`.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._records = context.state
        # `copy` of a record keeps the values themselves, so these alone need more.
        self._shells: dict[str, Record] = {name: r.copy() for name, r in context.state.items()}
        self._arrays: list[tuple[Array, tuple[str, tuple[int, ...], str, bytes]]] = []
        self._lists: list[tuple[list[object], list[object]]] = []
        for record in self._shells.values():
            for value in record.values():
                if isinstance(value, Array):
                    fields = (value.dtype, value.shape, value.stype, value.data)
                    self._arrays.append((value, fields))
                elif isinstance(value, list):
                    items: list[object] = value  # type: ignore[assignment]
                    self._lists.append((items, items.copy()))

    def restore(self) -> None:
        """Put everything back, in the same order, into the same ``RecordDict``.

        Setting items of a record would check their types again, and could fail over a value
        that was there before the step; whole records and the lists' own contents do not.
        """
        for array, fields in self._arrays:
            for field, value in zip(("dtype", "shape", "stype", "data"), fields, strict=True):
                if getattr(array, field) is not value:
                    setattr(array, field, value)
        for items, saved in self._lists:
            items[:] = saved
        self._records.clear()
        for name, record in self._shells.items():
            self._records[name] = record
        self._context.state = self._records
