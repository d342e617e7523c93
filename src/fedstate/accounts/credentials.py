"""The file in which Flower's command line keeps the tokens of SuperLinks.

It is ``credentials.yaml`` in Flower's directory: for each address, exactly as it is written in
the connection, the kind of authentication and two tokens, each in base64. Flower deletes a file
that it cannot read; this module says so instead, and changes nothing of other SuperLinks'.
"""

import base64
import binascii
from pathlib import Path

import yaml

from fedstate.errors import SettingError
from fedstate.files import PRIVATE, write_new

# Flower's keys; `tests/contract/flower/test_credentials.py` compares them.
_KIND = "flower.account-auth.%s.authn-type"
_ACCESS = "flower.account-auth.%s.oidc-access-token"
_REFRESH = "flower.account-auth.%s.oidc-refresh-token"
# Of the kinds that `flwr` knows, the one that sends `Authorization: Bearer TOKEN`.
_BEARER = "oidc"
FILE_NAME = "credentials.yaml"


def store_token(home: Path, address: str, token: str) -> Path:
    """Put the token for a SuperLink where ``flwr`` finds it; return the file.

    Parameters
    ----------
    home : Path
        Flower's directory, ``$FLWR_HOME``.
    address : str
        The SuperLink's address, as the connection has it.
    token : str
        The account's token.

    Raises
    ------
    SettingError
        The file that is there cannot be read.
    """
    file = home / FILE_NAME
    stored = _read(file)
    # `flwr` sends nothing without a refresh token, and never sends that in a header.
    for key, value in ((_KIND, _BEARER), (_ACCESS, token), (_REFRESH, token)):
        stored[key % address] = base64.b64encode(value.encode()).decode()
    write_new(file, yaml.safe_dump(stored).encode(), PRIVATE)
    return file


def stored_token(home: Path, address: str) -> str | None:
    """Return the token for a SuperLink; None if there is none.

    Raises
    ------
    SettingError
        The file cannot be read.
    """
    file = home / FILE_NAME
    value = _read(file).get(_ACCESS % address)
    if value is None:
        return None
    try:
        return base64.b64decode(value, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise _damaged(file, f"the token for {address} is not base64") from None


def _read(file: Path) -> dict[str, str]:
    try:
        content = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, ValueError):
        raise _damaged(file, "it is not YAML") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(
        isinstance(part, str) for item in content.items() for part in item
    ):
        raise _damaged(file, "it does not map names to texts")
    return content


def _damaged(file: Path, reason: str) -> SettingError:
    return SettingError(
        f"Flower's credentials in '{file}' are damaged ({reason}); move the file away, and store "
        "each SuperLink's token again with `fedstate connection ... --token-file FILE`."
    )
