"""A ClientApp that makes one step, for as long as its token is needed."""

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from .tell import tell

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Give the token away."""
    tell(context, f"node-{int(str(context.node_config['partition-id'])) + 1}")
    return Message(RecordDict(), reply_to=message)
