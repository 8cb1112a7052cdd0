"""Signatures of requests by Standard Webhooks (https://www.standardwebhooks.com), version 1."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from busway.errors import SinkError
from busway.settings import Env, resolve

KEY_PREFIX = "whsec_"
SigningSecrets = str | Env | Sequence[str | Env] | None
_MIN_SECRET_BYTES, _MAX_SECRET_BYTES = 24, 64
"""How many bytes a secret has (Standard Webhooks, "Signature scheme")."""


class Signer(msgspec.Struct, frozen=True):
    """Signs with each of its keys, so that a receiver can verify with the old or the new key.

    >>> from datetime import UTC
    >>> signer = make_signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    >>> at = datetime.fromtimestamp(1614265330, UTC)
    >>> signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}')[
    ...     "webhook-signature"
    ... ]
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """

    keys: tuple[bytes, ...]

    def headers(self, id: str, at: datetime, body: bytes) -> Mapping[str, str]:
        """Return the headers of a request: its id is the same for every attempt, its time is
        that of this attempt.
        """
        timestamp = str(int(at.timestamp()))
        signed = f"{id}.{timestamp}.".encode() + body
        return {
            "webhook-id": id,
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(_signature(key, signed) for key in self.keys),
        }


def normalized_secrets(secrets: SigningSecrets) -> tuple[str | Env, ...]:
    """Return declared secrets so that they can be compared and hashed."""
    if secrets is None:
        return ()
    return (secrets,) if isinstance(secrets, str | Env) else tuple(secrets)


def make_signer(secrets: SigningSecrets) -> Signer | None:
    """Return a signer for the secrets, ``None`` if there are none.

    Raises :class:`SinkError` for an invalid secret.
    """
    keys = tuple(_key(resolve(secret)) for secret in normalized_secrets(secrets))
    return Signer(keys) if keys else None


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(KEY_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(KEY_PREFIX) or not _MIN_SECRET_BYTES <= len(key) <= _MAX_SECRET_BYTES:
        sizes = f"{_MIN_SECRET_BYTES} to {_MAX_SECRET_BYTES}"
        what = f"a secret is {KEY_PREFIX!r} followed by {sizes} random bytes in base64"
        raise SinkError(f"http(sign=…): {what}, as in Standard Webhooks")
    return key


def _signature(key: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
