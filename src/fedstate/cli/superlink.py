"""``fedstate superlink``: flower-superlink's options."""

import typer

from fedstate.cli.examples import examples

EXAMPLES = examples(
    "fedstate superlink --insecure --isolation process",
    "fedstate superlink --control 0.0.0.0:8000 --fleet 0.0.0.0:8001 --runtime localhost:8002 "
    "--ssl-certfile superlink/server.crt --ssl-keyfile superlink/server.key "
    "--ssl-ca-certfile superlink/ca.crt --database superlink.db --accounts accounts.toml",
    "fedstate superlink --insecure --isolation process --runtime-socket /run/fedstate/api.sock",
)


def superlink(context: typer.Context) -> None:
    """Flower's SuperLink with push notification.

    Waiting nodes, executors and ServerApps are woken. --help lists its options.
    """
    from fedstate.superlink.options import main

    main(context.args, EXAMPLES)
