"""What the executor relies on in TensorFlow and is not public: an upgrade fails here."""


def test_tensorflow_tells_whether_it_has_started() -> None:
    """Only the attributes: asking for the context would start nothing, but import it all."""
    from tensorflow.python.eager import context

    assert hasattr(context, "_context")
    assert hasattr(context.Context(), "_context_handle")
