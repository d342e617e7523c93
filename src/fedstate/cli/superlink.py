"""``fedstate superlink``: flower-superlink's options."""

import typer


def superlink(context: typer.Context) -> None:
    """Run a SuperLink that tells who waits when there is something; --help lists its options."""
    from fedstate.superlink.options import main

    main(context.args)
