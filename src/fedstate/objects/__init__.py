"""Large contents of objects, which a SuperLink keeps in files beside its database.

They come and go as streams: what arrives is written to a file piece by piece, and what is handed
out is read from it piece by piece. The database's rows say what is where.
"""

from fedstate.objects.contents import Arrived, Content, Place, StoredContent
from fedstate.objects.files import ObjectFiles
from fedstate.objects.streaming import StreamedObjects, Transfer, current_transfer

__all__ = [
    "Arrived",
    "Content",
    "ObjectFiles",
    "Place",
    "StoredContent",
    "StreamedObjects",
    "Transfer",
    "current_transfer",
]
