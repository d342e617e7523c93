"""A ClientApp that no message is sent to."""

from flwr.clientapp import ClientApp

app = ClientApp()
