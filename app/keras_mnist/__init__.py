"""A Keras CNN on MNIST whose clients remember their weights and loss history."""
