"""The warm executor: a fresh process for every task, without a fresh import of TensorFlow.

``loop``        asks a SuperNode or SuperLink for tasks, in place of ``flower-superexec``
``warm``        flwr's ``Executor``: launches tasks, bounds them, supervises them
``supervisor``  the executor's side of the fork server
``forkserver``  the process that has imported the preloaded modules and forks
``task``        what the executor knows about a task under way
``worker``      the child: runs one task and exits
``failure``     tells the SuperNode about a task whose process died
"""
