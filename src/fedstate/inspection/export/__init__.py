"""Writing what a state holds into a file that other programs read.

``formats``   which formats there are, and which of them a file's name means
``pieces``    what of a state goes into a file of arrays, and what does not
``writing``   a file that is there whole or not at all, and never in the place of another one
``arrays``    npz, safetensors, PyTorch's ``state_dict``, Keras's weights
``tables``    CSV, Parquet, and tables as JSON
``as_json``   values as JSON
``export``    all of it together
"""

from typing import TYPE_CHECKING

from fedstate.lazy import lazy_exports

if TYPE_CHECKING:
    from fedstate.inspection.export.export import Exported, export_state, export_table
    from fedstate.inspection.export.formats import Format, format_of

__all__ = ["Exported", "Format", "export_state", "export_table", "format_of"]

if not TYPE_CHECKING:  # a type checker would take any name for one of these
    __getattr__ = lazy_exports(
        __name__,
        {
            "Exported": ".export",
            "Format": ".formats",
            "export_state": ".export",
            "export_table": ".export",
            "format_of": ".formats",
        },
    )
