"""Secrets that callers prove themselves with: how they are made, and which are too weak."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from busway.errors import SettingsError

MIN_SECRET_LENGTH = 20
_MIN_DISTINCT_CHARACTERS = 8
_PRINTABLE = re.compile(r"[!-~]+")
_PLACEHOLDERS = (
    *("changeme", "changethis", "replaceme", "replacethis", "placeholder", "yourtoken"),
    *("yoursecret", "password", "12345678", "abcdefgh", "qwertyui"),
)
GENERATE_COMMAND = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"


def new_secret() -> str:
    """Return a new random secret of 256 bits."""
    return secrets.token_urlsafe(32)


def require_strong_secret(name: str, text: str) -> str:
    """Return a secret without the white space around it, empty where there is nothing else.

    Raises :class:`SettingsError` that names the setting and what is weak, and never the secret.
    """
    secret = text.strip()
    why = _weakness(secret) if secret else None
    if why is not None:
        raise SettingsError(f"{name} is refused: {why}; make a good one with: {GENERATE_COMMAND}")
    return secret


def secret_digest(secret: str) -> bytes:
    """Return what is kept of a random secret, SHA-256: from it the secret cannot be found."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def bearer_token(authorization: str) -> str:
    """Return what an ``Authorization`` header brings, empty if that is no bearer token.

    >>> (bearer_token("Bearer abc"), bearer_token("bearer  abc "),
    ...  bearer_token("Basic abc"), bearer_token("Bearer"))
    ('abc', 'abc', '', '')
    """
    scheme, _, given = authorization.partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def is_same_secret(given: str, secret: str) -> bool:
    """Compare in a time that does not depend on where they differ; nothing equals no secret."""
    same = hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode())
    return same and bool(secret)


def _weakness(secret: str) -> str | None:
    if not _PRINTABLE.fullmatch(secret):
        return "it has characters other than printable ASCII, or white space inside"
    if len(secret) < MIN_SECRET_LENGTH:
        return f"it has {len(secret)} characters, and at least {MIN_SECRET_LENGTH} are needed"
    plain = re.sub(r"[^a-z0-9]", "", secret.lower())
    if any(word in plain for word in _PLACEHOLDERS):
        return "it is a placeholder, or easy to guess"
    if len(set(secret)) < _MIN_DISTINCT_CHARACTERS or secret in (secret + secret)[1:-1]:
        return "it repeats itself"
    return None
