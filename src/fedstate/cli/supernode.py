"""``fedstate supernode``: flower-supernode's options and a few of our own."""

import typer

from fedstate.cli.examples import examples

# flwr's parser reads the options: it knows them all, and what they mean when it is updated.
PASSED_ON = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}

EXAMPLES = examples(
    "fedstate supernode --insecure --superlink localhost:8000",
    "fedstate supernode --superlink superlink.example.org:8001 --root-certificates ca.crt "
    "--auth-supernode-private-key identity/node.key --state state --retain 30d",
    "fedstate supernode --insecure --superlink localhost:8000 --isolation process "
    "--runtime-socket /run/fedstate/api.sock",
)


def supernode(context: typer.Context) -> None:
    """Run a SuperNode with durable client state; --help lists its options."""
    from fedstate.supernode.options import main

    main(context.args, EXAMPLES)
