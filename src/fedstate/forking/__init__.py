"""Processes that start warm: forks of a process that has already imported what they need.

flwr takes more than a second to import, and TensorFlow five, which is longer than most tasks and
most of a federation's start. The executor starts tasks this way, the local federation its
programs.

``supervisor``  who asks for processes: starts the fork server, asks for forks, hears how they end
``server``      the fork server: it has imported, and only forks
``preload``     what it may import: nothing whose threads a fork would lose
``channel``     what the two, and each fork, say to each other
``ending``      how a process ended, and how one ends itself
"""
