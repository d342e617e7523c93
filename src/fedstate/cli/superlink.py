"""``fedstate superlink``: flower-superlink's options."""

import typer


def superlink(context: typer.Context) -> None:
    """Run Flower's SuperLink with push notification; --help lists its options."""
    from fedstate.superlink.options import main

    main(context.args)
