"""The one logger of every component, below Flower's own.

Flower's programs configure the logger ``flwr``: its level, its format and where it goes (the
console, the run's log at the SuperLink). What is logged here goes the same way. A process that
has not imported flwr, such as a command on a node's state, shows warnings and errors as Python
does by default.
"""

import logging

logger = logging.getLogger("flwr.fedstate")
