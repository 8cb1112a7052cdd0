"""What goes wrong with a connection is said with what to do."""

from __future__ import annotations

import ssl

import nats.errors
import pytest

from busway.engine.jetstream.client import TlsUnavailable, describe_error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimeoutError(), "no NATS server answered in time; is the address right"),
        (nats.errors.Error("nats: empty response from server when expecting"), "does not speak"),
        (nats.errors.Error("nats: 'Authorization Violation'"), "give valid credentials"),
        (
            nats.errors.Error("nats: permissions violation for publish to x"),
            "allow it to this user",
        ),
        (ssl.SSLCertVerificationError("certificate verify failed"), "?ca=FILE"),
        (ConnectionRefusedError(111, "Connect call failed"), "is it running"),
        (TlsUnavailable(), "set tls on the servers"),
        (nats.errors.NoServersError(), "no servers available"),
        (ValueError(), "ValueError"),
    ],
)
def test_every_error_has_its_remedy(error: Exception, text: str) -> None:
    assert text in describe_error(error)
