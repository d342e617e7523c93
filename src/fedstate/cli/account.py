"""``fedstate account``: who may call a SuperLink's Control API."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fedstate.accounts.account import Account, Role, read_accounts
from fedstate.accounts.changes import (
    add_account,
    ensure_account,
    revoke_account,
    write_token,
)
from fedstate.accounts.credentials import store_token
from fedstate.cli.examples import examples
from fedstate.cli.output import Format, Shown, show_rows
from fedstate.connection import flwr_home, read_connection
from fedstate.errors import SettingError

app = typer.Typer(
    help="Accounts that may call a SuperLink's Control API; a running SuperLink reads them again."
)

_STANDARD_OUTPUT = Path("-")

AccountsFile = Annotated[
    Path,
    typer.Option(
        "--accounts",
        envvar="FEDSTATE_ACCOUNTS",
        help="The SuperLink's file of accounts: what `fedstate superlink --accounts` is given.",
    ),
]
Name = Annotated[str, typer.Argument(help="The account's name.")]


@app.command(
    epilog=examples(
        "fedstate account add maya --role submitter --accounts accounts.toml --output maya.token",
        "fedstate account add ines --role operator --accounts accounts.toml",
    )
)
def add(
    name: Name,
    role: Annotated[
        Role,
        typer.Option(help="operator: everything; submitter: start, list, stop own runs."),
    ],
    accounts: AccountsFile,
    output: Annotated[
        Path | None,
        typer.Option(help="Where the token goes, for somebody else; - for standard output."),
    ] = None,
    superlink: Annotated[
        str | None,
        typer.Option(help="Without --output: the connection that the token is stored for."),
    ] = None,
    if_missing: Annotated[
        bool,
        typer.Option("--if-missing", help="With --output: keep an account whose token is there."),
    ] = False,
) -> None:
    """Make an account and its token, which is shown to nobody again.

    Without --output the token goes where `flwr` finds it: into $FLWR_HOME/credentials.yaml, for
    the default connection or for --superlink.
    """
    if output is None:
        if if_missing:
            raise SettingError("--if-missing needs --output FILE, the file to look in.")
        _add_for_this_user(accounts, name, role, superlink)
        return
    if if_missing:
        if output == _STANDARD_OUTPUT:
            raise SettingError("--if-missing needs a file for --output, and not '-'.")
        ensure_account(accounts, name, role, output)
    elif output == _STANDARD_OUTPUT:
        typer.echo(add_account(accounts, name, role))
    else:
        if output.exists():
            raise SettingError(f"'{output}' is there already; give --output another file.")
        write_token(output, "")  # before the account: a token that cannot be kept is lost
        try:
            write_token(output, add_account(accounts, name, role))
        except BaseException:
            output.unlink(missing_ok=True)
            raise
    where = "above" if output == _STANDARD_OUTPUT else f"in {output}"
    typer.echo(
        f"Account '{name}' ({role}) is in {accounts}; its token is {where}. Whoever has it "
        "stores it with `fedstate connection ... --token-file FILE`.",
        err=True,
    )


@app.command(
    "list",
    epilog=examples(
        "fedstate account list --accounts accounts.toml",
        "fedstate account list --accounts accounts.toml --format csv",
    ),
)
def list_accounts(
    accounts: AccountsFile,
    shown: Shown = Format.TABLE,
) -> None:
    """Show the accounts, also those that were revoked; never a token."""
    _, known = read_accounts(accounts)
    rows = [_row(account) for account in known.values()]
    if shown is Format.JSON:
        typer.echo(json.dumps({"accounts": rows}, indent=2))
        return
    show_rows(rows, ("name", "role", "created", "revoked"), shown)


@app.command(epilog=examples("fedstate account revoke rosa --accounts accounts.toml"))
def revoke(name: Name, accounts: AccountsFile) -> None:
    """Refuse an account's token from now on; its runs go on, and stay the account's."""
    new = revoke_account(accounts, name)
    typer.echo(f"Account '{name}' {'is' if new else 'was already'} revoked.")


def _add_for_this_user(accounts: Path, name: str, role: Role, superlink: str | None) -> None:
    connection = read_connection(superlink)
    if connection.token is not None:
        raise SettingError(
            f"There is a token for {connection.address} in $FLWR_HOME/credentials.yaml, which "
            "would be lost; give --output FILE to make an account for somebody else."
        )
    token = add_account(accounts, name, role)
    store_token(flwr_home(), connection.address, token)
    typer.echo(
        f"Account '{name}' ({role}) is in {accounts}; `flwr` and `fedstate` use it for "
        f"connection '{connection.name}'."
    )


def _row(account: Account) -> dict[str, str | None]:
    revoked = account.revoked
    return {
        "name": account.name,
        "role": account.role.value,
        "created": account.created.isoformat(),
        "revoked": revoked.isoformat() if revoked else None,
    }
