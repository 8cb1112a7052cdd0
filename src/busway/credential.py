"""Secrets for authentication: how they are generated, compared, and checked for strength."""

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
    """Return a secret without surrounding white space; empty if there is none.

    Raises :class:`SettingsError` that names the setting and its weakness, never the secret.
    """
    secret = text.strip()
    weakness = _weakness(secret) if secret else None
    if weakness is not None:
        raise SettingsError(f"{name} is too weak: {weakness}; generate one: {GENERATE_COMMAND}")
    return secret


def secret_digest(secret: str) -> bytes:
    """Return the SHA-256 digest of a random secret, which is stored in its place."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def bearer_token(authorization: str) -> str:
    """Return the bearer token of an ``Authorization`` header, empty if there is none.

    >>> (bearer_token("Bearer abc"), bearer_token("bearer  abc "),
    ...  bearer_token("Basic abc"), bearer_token("Bearer"))
    ('abc', 'abc', '', '')
    """
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def is_same_secret(given: str, secret: str) -> bool:
    """Return whether two secrets are equal, in constant time; an empty secret equals nothing."""
    same = hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode())
    return same and bool(secret)


def _weakness(secret: str) -> str | None:
    if not _PRINTABLE.fullmatch(secret):
        return "it contains white space or characters other than printable ASCII"
    if len(secret) < MIN_SECRET_LENGTH:
        return f"it has {len(secret)} characters; at least {MIN_SECRET_LENGTH} are required"
    plain = re.sub(r"[^a-z0-9]", "", secret.lower())
    if any(word in plain for word in _PLACEHOLDERS):
        return "it is a placeholder, or easy to guess"
    if len(set(secret)) < _MIN_DISTINCT_CHARACTERS or secret in (secret + secret)[1:-1]:
        return "it repeats itself"
    return None
