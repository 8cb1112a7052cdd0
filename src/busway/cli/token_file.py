"""The API's token where nobody has set one: made at the first start, kept in the data directory."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

import msgspec

from busway.credential import new_secret, require_strong_secret
from busway.errors import SettingsError

NAME = "api-token"
_MOST_BYTES = 4096


class Token(msgspec.Struct, frozen=True):
    """What the API asks for; whether it is ``kept`` in the data directory, and was ``made`` now."""

    value: str
    kept: bool = False
    made: bool = False


def kept_token(data: Path) -> str | None:
    """Return the token in a data directory, ``None`` if there is none.

    Raises :class:`SettingsError` if it cannot be read, or is not a good one.
    """
    path = data / NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise SettingsError(
            f"{path} is for the user who runs the server; set BUSWAY_API_TOKEN to what is in it"
        ) from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}; {_ANEW}") from error
    with os.fdopen(descriptor, "rb") as file:
        _keep_from_others(descriptor, path)
        content = file.read(_MOST_BYTES)
    token = require_strong_secret(str(path), content.decode("ascii", "replace"))
    if not token:
        raise SettingsError(f"{path} is empty; {_ANEW}")
    return token


def kept_or_made(data: Path) -> Token:
    """Return the token of a data directory, made if there is none.

    Raises :class:`SettingsError` if it cannot be kept there.
    """
    found = kept_token(data)
    if found is not None:
        return Token(found, kept=True)
    try:
        made = _make(data, new_secret())
    except OSError as error:
        raise SettingsError(
            f"the API's token cannot be kept in {data / NAME}: {error.strerror};"
            " set BUSWAY_API_TOKEN, or choose another --data"
        ) from error
    return Token(kept_token(data) or "", kept=True, made=made)


def _make(data: Path, token: str) -> bool:
    """Put a token into its file, which appears whole; ``False`` if another process was quicker."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = data / f"{NAME}.{secrets.token_hex(4)}"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{token}\n")
            file.flush()
            os.fsync(descriptor)
        os.link(new, data / NAME)  # unlike a rename, it replaces nothing
    except FileExistsError:
        return False
    finally:
        new.unlink()
    return True


def _keep_from_others(descriptor: int, path: Path) -> None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise SettingsError(f"{path} is not a file; {_ANEW}")
    if found.st_uid != os.geteuid() or not found.st_mode & 0o077:
        return
    os.fchmod(descriptor, 0o600)
    import structlog  # noqa: PLC0415 - what few commands need, and takes long to import

    structlog.get_logger("busway").warning(
        "others could read the API's token; from now on they cannot",
        file=str(path),
        fix="if somebody may have: remove the file and start again, and a new one is made",
    )


_ANEW = "remove it and start the server again, which makes a new one"
