"""The ClientApp: chooses as tutorials do, above the imports."""

import os

os.environ["JOBLIB_MULTIPROCESSING"] = "0"

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from joblib import _multiprocessing_helpers as joblib  # type: ignore[import-untyped]

app = ClientApp()


@app.query()
def query(message: Message, context: Context) -> Message:
    """Tell what joblib has read when it was imported."""
    found = ConfigRecord({"processes": joblib.mp is not None})
    return Message(RecordDict({"found": found}), reply_to=message)
