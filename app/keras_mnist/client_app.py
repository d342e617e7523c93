"""The ClientApp: trains on its node's images, and remembers."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedstate.state import audit, client_state, state_of
from keras_mnist.data import Partition, load_partition
from keras_mnist.model import make_model
from keras_mnist.settings import Settings

app = ClientApp(mods=[client_state()])
# What this node holds, for `fedstate verify`.
app.query("audit")(audit)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the global model on local images; store the result in the node's Context."""
    settings = Settings.from_run_config(context.run_config)
    data = _partition(context, settings)
    state = state_of(context)
    model = make_model(settings.learning_rate, settings.seed + (state.server_round or 0))
    model.set_weights(message.content.array_records["arrays"].to_numpy_ndarrays())
    fit = model.fit(
        data.train_images,
        data.train_labels,
        batch_size=settings.batch_size,
        epochs=settings.local_epochs,
        verbose=0,
    )
    loss = float(fit.history["loss"][-1])
    state["weights"] = model
    state.history("loss").append(loss)
    weights = ArrayRecord(model.get_weights())
    metrics = MetricRecord({"loss": loss, "num-examples": len(data.train_labels)})
    return Message(RecordDict({"arrays": weights, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate the global model, and the node's own remembered weights, on local images."""
    settings = Settings.from_run_config(context.run_config)
    data = _partition(context, settings)
    model = make_model(settings.learning_rate, settings.seed)
    model.set_weights(message.content.array_records["arrays"].to_numpy_ndarrays())
    loss, accuracy = model.evaluate(data.test_images, data.test_labels, verbose=0)
    # A node that was never sampled for training remembers nothing yet.
    state = state_of(context)
    if "weights" in state:
        state.load("weights", into=model)
    _, own_accuracy = model.evaluate(data.test_images, data.test_labels, verbose=0)
    metrics = MetricRecord(
        {
            "loss": float(loss),
            "accuracy": float(accuracy),
            "own-accuracy": float(own_accuracy),
            "num-examples": len(data.test_labels),
        }
    )
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def _partition(context: Context, settings: Settings) -> Partition:
    return load_partition(
        int(context.node_config["partition-id"]),
        int(context.node_config["num-partitions"]),
        settings.dirichlet_alpha,
        settings.seed,
    )
