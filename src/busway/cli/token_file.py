"""The API's token if none is set: created at the first start, stored in the data directory."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

import msgspec

from busway.credential import new_secret, require_strong_secret
from busway.errors import SettingsError

NAME = "api-token"
_MAX_BYTES = 4096


class ApiToken(msgspec.Struct, frozen=True):
    """The API's token, whether it is stored in the data directory, and whether it is new."""

    value: str
    is_stored: bool = False
    is_new: bool = False


def read_token(data: Path) -> str | None:
    """Return the token in a data directory, ``None`` if there is none.

    Raises :class:`SettingsError` if it cannot be read, or is too weak.
    """
    path = data / NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise SettingsError(
            f"{path} is readable only by the user who runs the server; set BUSWAY_API_TOKEN"
            " to its content"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror}; {_HOW_TO_REPLACE}"
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        _make_private(descriptor, path)
        content = file.read(_MAX_BYTES)
    token = require_strong_secret(str(path), content.decode("ascii", "replace"))
    if not token:
        raise SettingsError(f"{path} is empty; {_HOW_TO_REPLACE}")
    return token


def read_or_create_token(data: Path) -> ApiToken:
    """Return the token of a data directory, created if there is none.

    Raises :class:`SettingsError` if it cannot be stored there.
    """
    found = read_token(data)
    if found is not None:
        return ApiToken(found, is_stored=True)
    try:
        made = _create(data, new_secret())
    except OSError as error:
        raise SettingsError(
            f"the API's token cannot be stored in {data / NAME}: {error.strerror};"
            " set BUSWAY_API_TOKEN, or choose another --data"
        ) from error
    return ApiToken(read_token(data) or "", is_stored=True, is_new=made)


def _create(data: Path, token: str) -> bool:
    """Create the file of a token atomically; return ``False`` if another process did it first."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = data / f"{NAME}.{secrets.token_hex(4)}"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{token}\n")
            file.flush()
            os.fsync(descriptor)
        os.link(new, data / NAME)  # unlike a rename, it does not replace a file
    except FileExistsError:
        return False
    finally:
        new.unlink()
    return True


def _make_private(descriptor: int, path: Path) -> None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise SettingsError(f"{path} is not a file; {_HOW_TO_REPLACE}")
    if found.st_uid != os.geteuid() or not found.st_mode & 0o077:
        return
    os.fchmod(descriptor, 0o600)
    import structlog  # noqa: PLC0415 - slow, and few commands need it

    structlog.get_logger("busway").warning(
        "the API's token was readable by other users; its permissions are corrected",
        file=str(path),
        fix="if another user may have read it, remove the file and restart: a new one is created",
    )


_HOW_TO_REPLACE = "remove it and restart the server, which creates a new one"
