"""The paths of our own routes, and the name of the call that executors sign."""

CONTROL_EVIDENCE = "/v1/control/pull-evidence"
CONTROL_REPLACE_KEY = "/v1/control/replace-node-key"
CONTROL_RESTORE_NODE = "/v1/control/restore-node"
FLEET_LOG = "/v1/fleet/push-log"
FLEET_PULL = "/v1/fleet/pull-objects"
FLEET_PUSH = "/v1/fleet/push-objects"
FLEET_REPLY = "/v1/fleet/push-reply"
FLEET_WAIT = "/v1/fleet/wait-for-messages"
RUNTIME_PULL = "/v1/runtime/pull-objects"
RUNTIME_PUSH = "/v1/runtime/push-objects"
RUNTIME_WAIT = "/v1/runtime/wait-for-replies"
TASKS_WAIT = "/v1/runtime/wait-for-tasks"

# Executors sign this call of flwr's alone; who may acquire a task may wait for one.
ACQUIRE_TASK = "/flwr.proto.Runtime/AcquireTask"
