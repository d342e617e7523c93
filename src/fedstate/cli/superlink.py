"""``fedstate superlink``: flower-superlink's options."""

import typer


def superlink(context: typer.Context) -> None:
    """Flower's SuperLink with push notification.

    Waiting nodes, executors and ServerApps are woken. --help lists its options.
    """
    from fedstate.superlink.options import main

    main(context.args)
