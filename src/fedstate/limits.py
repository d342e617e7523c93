"""The one bound on the size of a Context; free of flwr, so that apps can ask for it."""

# Protobuf refuses a message of 2 GiB. A Context travels to its ClientApp in one message with the
# run and the FAB, of which Flower takes 10 MiB at the most: a Context that may be stored has to
# leave room for both, or the run's next step could not be handed out.
PROTOBUF_BYTES = 2**31 - 1
_BESIDE_BYTES = 16 * 2**20

# The most that a Context may take as a message of protobuf's: the arrays of `Context.state`, all
# else in it, and the configs. The executor checks it before a reply is sent, and the SuperNode
# before anything is stored.
CONTEXT_BYTES = PROTOBUF_BYTES - _BESIDE_BYTES
