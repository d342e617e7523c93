"""Where the routes are, and under which names of flwr's calls their requests are signed."""

FLEET_PULL = "/v1/fleet/pull-objects"
FLEET_PUSH = "/v1/fleet/push-objects"
FLEET_REPLY = "/v1/fleet/push-reply"
FLEET_WAIT = "/v1/fleet/wait-for-messages"
RUNTIME_PULL = "/v1/runtime/pull-objects"
RUNTIME_PUSH = "/v1/runtime/push-objects"
RUNTIME_WAIT = "/v1/runtime/wait-for-replies"
TASKS_WAIT = "/v1/runtime/wait-for-tasks"

# Executors sign this call alone; whoever may acquire a task may wait for one.
ACQUIRE_TASK = "/flwr.proto.Runtime/AcquireTask"
