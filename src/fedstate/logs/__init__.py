"""What every component logs: lines with time, level, component, and what they are about.

The one logger of every component is below Flower's own, ``flwr``. A program that has called
`configure` writes its lines and Flower's in one form, as text for people or as JSON, with the
labels of the moment (`labelled`): run, node, round and message. A process that has not, such as a
command on a node's state, shows warnings and errors as Python does by default; a task's process
logs as Flower's does, and its executor makes lines of that.
"""

import logging

from fedstate.logs.labels import labelled, note_labels, of_each_request
from fedstate.logs.lines import Line, parse_line
from fedstate.logs.setup import (
    JSON,
    TEXT,
    chosen_format,
    configure,
    cover_everything,
    log_format,
    of_node,
    release,
)

logger = logging.getLogger("flwr.fedstate")

__all__ = [
    "JSON",
    "TEXT",
    "Line",
    "chosen_format",
    "configure",
    "cover_everything",
    "labelled",
    "log_format",
    "logger",
    "note_labels",
    "of_each_request",
    "of_node",
    "parse_line",
    "release",
]
