"""What makes up the state of Keras models and optimizers, found and put back as Keras does it."""
