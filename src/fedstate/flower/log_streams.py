"""The end of an answer that flwr's clients read message by message."""

# The message of a stream of logs, and how each message of a stream begins.
from flwr.proto.control_pb2 import StreamLogsResponse
from flwr.supercore.protobuf.framing import frame_message

_LOGS = "/v1/control/stream-logs"
# The beginning of a message of which the rest is missing: a client takes it for an error, and not
# for the end of what there is.
_TORN = b"\0\0\0\1"


def last_words(path: str, sentence: str) -> bytes:
    """Return what ends an answer for a reason, which `flwr log` and `flwr run` show."""
    if path != _LOGS:
        return _TORN
    frame: bytes = frame_message(StreamLogsResponse(log_output=f"\n{sentence}\n"))
    return frame
