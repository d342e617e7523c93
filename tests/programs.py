"""Programs of federations whose apps need no TensorFlow, which takes longer than their runs."""

from fedstate.local.programs import Programs

EXECUTOR = ("fedstate", "executor", "--preload", "numpy")
PROGRAMS = Programs(serverapp_executor=EXECUTOR, clientapp_executor=EXECUTOR)
