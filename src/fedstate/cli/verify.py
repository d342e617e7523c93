"""``fedstate verify``: what nodes say of their steps, compared with what the SuperLink has."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedstate.cli.examples import examples
from fedstate.cli.output import Format, Shown, console, show_rows
from fedstate.errors import EvidenceError, FedstateError, SettingError
from fedstate.os_errors import one_line, sentence
from fedstate.records import runs_directory

if TYPE_CHECKING:
    from fedstate.verify.report import Report

EXAMPLES = examples(
    "fedstate verify",
    "fedstate verify 4711 --format json",
    "fedstate verify --since 12h --watch",
    "fedstate verify --state node.backup",
)


def verify(
    run_ids: Annotated[
        list[str] | None,
        typer.Argument(help="Runs, by the first digits of their IDs; all, if none is named."),
    ] = None,
    all_runs: Annotated[
        bool, typer.Option("--all", help="All runs, as without RUN_IDS.")
    ] = False,
    since: Annotated[
        str | None, typer.Option(help="Runs since then: 90m, 12h, 7d, or a date (2026-05-01).")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow runs that go on, until they have ended.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(help="A node's state directory or a backup: check it alone, no SuperLink."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--state-key", help="The file with its encryption key.")
    ] = None,
    public_key: Annotated[
        list[Path] | None,
        typer.Option(
            help="With --state: the node's public key (node.pub); repeat it for replaced keys."
        ),
    ] = None,
    superlink: Annotated[
        str | None, typer.Option(help="The SuperLink's connection; the default one, if none.")
    ] = None,
    runs: Annotated[Path | None, typer.Option(help="Where the ServerApps' records are.")] = None,
    node_seconds: Annotated[
        float, typer.Option(min=0.0, help="How long a node has for its answer, in seconds.")
    ] = 10.0,
    form: Shown = Format.TABLE,
) -> None:
    """Check that state persisted and was isolated: exit code 0 kept, 1 broken, 2 not known.

    RUN_IDS are the first digits of the IDs of runs; without any, all runs are checked.
    """
    names = run_ids or []
    try:
        if names and (all_runs or since):
            raise SettingError("Name runs, or give --all or --since, but not both.")
        if all_runs and since:
            raise SettingError("--all means every run, and --since some of them: give one.")
        if state is not None:
            if superlink or watch or since:
                raise SettingError(
                    "--state checks a node's store alone: leave out --superlink, --since and "
                    "--watch."
                )
            report = _store_report(state, key, public_key or [], names)
        elif key or public_key:
            raise SettingError("--state-key and --public-key belong to --state DIRECTORY.")
        else:
            directory = runs or runs_directory()
            report = _superlink_report(
                names, since, superlink, directory, node_seconds, form, watch=watch
            )
        if not report.runs and not report.elsewhere:
            raise EvidenceError(_nothing(state, since))
        _show(report, form)
    except (FedstateError, OSError) as error:
        problem = str(error)
        if isinstance(error, OSError):
            if error.filename is None:  # no file or directory that somebody has named
                raise
            problem = sentence(error)
        # Nothing is known then; exit code 1 would say that a promise was broken.
        typer.secho(f"fedstate: {one_line(problem)}", fg=typer.colors.RED, err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:  # while runs are watched
        raise typer.Exit(130) from None
    raise typer.Exit(report.exit_code)


def _nothing(state: Path | None, since: str | None) -> str:
    if state is not None:
        return f"There is no run in '{state}' to verify."
    if since is not None:
        return f"There is no run since {since} to verify; --all has all runs."
    return "There is no run to verify; start one with `flwr run`."


def _store_report(
    state: Path, key: Path | None, public_keys: list[Path], names: list[str]
) -> "Report":
    from fedstate.store.cipher import read_key
    from fedstate.verify.store import verify_store

    return verify_store(state, read_key(key) if key else None, public_keys, names)


def _superlink_report(
    names: list[str],
    since: str | None,
    superlink: str | None,
    records: Path,
    node_seconds: float,
    form: Format,
    *,
    watch: bool,
) -> "Report":
    # It imports flwr, for which a container's health check must not wait.
    from fedstate.flower.control_named import control_by_name
    from fedstate.verify.selection import Selection, parse_since
    from fedstate.verify.session import Session
    from fedstate.verify.superlink import SuperLinkSource

    selection = Selection(tuple(names), parse_since(since) if since else None)
    with control_by_name(superlink, simulation=True) as control:
        session = Session(SuperLinkSource(control, records, node_seconds), selection)
        if not watch:
            return session.verify()
        from fedstate.verify.watching import follow

        # What people watch is not part of a command's result.
        return follow(session, console(stderr=form is not Format.TABLE))


def _show(report: "Report", form: Format) -> None:
    if form is Format.JSON:
        typer.echo(json.dumps(report.to_json(), indent=2))
        return
    from fedstate.verify.table import COLUMNS, to_rows, to_table

    if form is Format.CSV:
        show_rows(to_rows(report), COLUMNS, form)
        return
    console().print(to_table(report))
