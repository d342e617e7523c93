"""The messages of our own routes: `exchange.proto` and what `make proto` generates from it.

They carry flwr's messages, so that the generated module imports flwr's.
"""
