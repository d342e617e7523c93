"""A Keras CNN on MNIST whose clients remember their weights and loss history."""

import os

# TensorFlow 2.21 calls it an error each time that Keras builds a data set; what goes wrong raises
# in Python. Whoever has set it already keeps what was set.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
