"""The warm executor: a fresh process for every task, without a fresh import of TensorFlow.

``loop``      asks a SuperNode or SuperLink for tasks, in place of ``flower-superexec``
``pool``      flwr's ``Executor``: launches tasks, bounds them, supervises them
``preload``   what the fork server imports; the fork server itself is in `fedstate.forking`
``started``   a task's process where nothing is to be preloaded
``task``      what the executor knows about a task under way
``worker``    the child: runs one task and exits
``failure``   tells the SuperNode about a task whose process died
``watch``     waits for tasks at the server
"""
