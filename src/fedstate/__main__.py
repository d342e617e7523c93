"""``python -m fedstate`` is the ``fedstate`` command."""

from fedstate.cli import main

main()
