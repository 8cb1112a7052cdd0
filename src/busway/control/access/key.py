"""API keys: named secrets with scopes. The ledger keeps only their hashes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, Self

import msgspec
from msgspec import Raw

from busway.actor import ANONYMOUS, API_TOKEN
from busway.audit_record import AuditRecord
from busway.control.context import ControlContext
from busway.control.field import option
from busway.credential import new_secret, secret_digest
from busway.errors import Conflict, NotFound, SettingsError
from busway.named_value import ValueChange
from busway.ports import Ledger
from busway.spelling import suggestion

KEY = "key/"
USED = "key-used/"
Scope = Literal["intake", "admin"]
SCOPES: tuple[Scope, ...] = ("intake", "admin")
PREFIX = "busway_"
"""The prefix of every key, so that secret scanners find published keys."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TRIES = 100


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key in the ledger: its ``digest`` is the SHA-256 of the secret, in hexadecimal digits."""

    name: str
    scopes: tuple[Scope, ...]
    digest: str
    created_at: datetime
    created_by: str


class KeyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The public part of a key. ``used_at`` is when it was last used, to the minute."""

    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    created_by: str
    used_at: datetime | None = None

    @classmethod
    def of(cls, key: Key, used_at: datetime | None = None) -> Self:
        return cls(
            name=key.name,
            scopes=key.scopes,
            created_at=key.created_at,
            created_by=key.created_by,
            used_at=used_at,
        )


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for a key: its scopes and its name (``""``: named by its scope)."""

    scopes: Annotated[tuple[str, ...], option("What it may do: intake or admin.", "--scope")]
    name: Annotated[str, option("Its name, for the audit trail. [the scope]")] = ""
    reason: Annotated[str, option("Why, for the audit trail.")] = ""


class CreatedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new key; its ``secret`` is shown only once and not stored."""

    key: KeyStatus
    secret: str


async def keys(ledger: Ledger) -> Sequence[Key]:
    """Return all keys by name."""
    values = (await ledger.get_values(KEY)).values()
    return sorted((_decode_key(value) for value in values), key=lambda key: key.name)


async def key_statuses(ledger: Ledger) -> Sequence[KeyStatus]:
    """Return the status of all keys, by name."""
    used = await key_usage(ledger)
    return [KeyStatus.of(key, used.get(key.name)) for key in await keys(ledger)]


async def key_usage(ledger: Ledger) -> Mapping[str, datetime]:
    """Return when each key was last used, by name, if that is recorded."""
    values = await ledger.get_values(USED)
    return {
        name.removeprefix(USED): msgspec.json.decode(value, type=datetime)
        for name, value in values.items()
    }


async def create(control: ControlContext, request: NewKey, actor: str) -> CreatedKey:
    """Create a key.

    Raises :class:`SettingsError` for an invalid name or scope, :class:`Conflict` for a name that
    is taken.
    """
    scopes = _parse_scopes(request.scopes)
    ledger, secret, now = control.ledger, PREFIX + new_secret(), control.clock.now()
    name = request.name or await _free_name(ledger, scopes[0])
    if not _NAME.fullmatch(name) or name in (API_TOKEN, ANONYMOUS):
        raise SettingsError(
            f"a key cannot be called {name!r}; use up to 64 letters, digits, '.', '_' and '-'"
        )
    key = Key(
        name=name,
        scopes=scopes,
        digest=secret_digest(secret).hex(),
        created_at=now,
        created_by=actor,
    )
    status = KeyStatus.of(key)
    audit = AuditRecord(
        now, actor, "key create", _audit_target(name), None, _audit_image(status), request.reason
    )
    changes = [
        ValueChange(KEY + name, msgspec.json.encode(key), expected=None),
        ValueChange(USED + name, None),
    ]
    if not await ledger.change_values(changes, [audit]):
        raise Conflict(f"there is a key {name!r} already; choose another name, or revoke it first")
    return CreatedKey(key=status, secret=secret)


async def revoke(control: ControlContext, name: str, actor: str, reason: str = "") -> KeyStatus:
    """Revoke a key; it takes effect in every process within a second or two.

    Raises :class:`NotFound` if there is none with this name.
    """
    ledger = control.ledger
    while True:
        value = (await ledger.get_values(KEY + name)).get(KEY + name)
        if value is None:
            raise NotFound.named("key", name, [key.name for key in await keys(ledger)])
        status = KeyStatus.of(_decode_key(value), (await key_usage(ledger)).get(name))
        audit = AuditRecord(
            control.clock.now(),
            actor,
            "key revoke",
            _audit_target(name),
            _audit_image(status),
            None,
            reason,
        )
        changes = [ValueChange(KEY + name, None, expected=value), ValueChange(USED + name, None)]
        if await ledger.change_values(changes, [audit]):
            return status


def _parse_scopes(names: Sequence[str]) -> tuple[Scope, ...]:
    known = {str(scope): scope for scope in SCOPES}
    for scope in names:
        if scope not in known:
            raise SettingsError(f"there is no scope {scope!r}; {suggestion(scope, known)}")
    if not names:
        raise SettingsError("a key needs at least one scope; give intake or admin")
    return tuple(known[scope] for scope in dict.fromkeys(names))


async def _free_name(ledger: Ledger, scope: Scope) -> str:
    taken = {key.name for key in await keys(ledger)}
    names = (scope if number == 1 else f"{scope}-{number}" for number in range(1, _TRIES + 1))
    free = next((name for name in names if name not in taken), None)
    if free is None:
        raise SettingsError("there are many keys already; give this one a --name")
    return free


def _decode_key(value: bytes) -> Key:
    return msgspec.json.decode(value, type=Key)


def _audit_target(name: str) -> str:
    return f"key/{name}"


def _audit_image(status: KeyStatus) -> Raw:
    return Raw(msgspec.json.encode(status))
