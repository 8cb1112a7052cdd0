"""No secret is left in a text, and what is none stays."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from busway.redact import Redactor, redacted

SECRET = "S3CRET"
TEXTS = [
    "https://ann:S3CRET@api.example/v1",
    "https://S3CRET@api.example/v1",
    "postgresql://u:S3CRET@h:5432/shop",
    "postgresql://u:p@ss/S3CRET@h:5432/shop",
    "amqp://u:S3CRET@h//vhost",
    "nats://u:S3CRET@h1:4222,nats://u:S3CRET@h2:4222",
    "redis://:S3CRET@[::1]:6379/0",
    "URL('https://u:S3CRET@h/p?q=S3CRET')",
    "<ClientResponse(https://h/hook?token=S3CRET) [404]>",
    "400, message:\n  Bad status line\n\n  url='https://h/hook?key=S3CRET&id=S3CRET'",
    "Client error '404 Not Found' for url 'https://h/v1?sig=S3CRET#access_token=S3CRET'",
    "https://h/v1?S3CRET",
    "https://hooks.slack.com/services/T1/B1/S3CRET",
    "https://discord.com/api/webhooks/1/S3CRET",
    "https://api.telegram.org/botS3CRET/sendMessage",
    "https://h/in/S3CRETabcdefghijklmnop0/x",
    "Cannot POST /hook?token=S3CRET",
    "(b'GET /hook?api_key=S3CRET HTTP/1.1')",
    "connect(host='h', password='S3CRET', port=1)",
    "host=h user=u password=S3CRET dbname=d",
    "{'X-Api-Key': 'S3CRET', 'Accept': '*/*'}",
    '{"client_secret": "S3CRET", "id": 3}',
    '{\\"client_secret\\": \\"S3CRET\\"}',
    "('Authorization', 'S3CRET')",
    "Authorization: Bearer S3CRET-abc",
    "got Bearer S3CRET-abc",
    "X-Auth-Token: S3CRET-abc",
    "AWS_SECRET_ACCESS_KEY=S3CRET",
    "Set-Cookie: S3CRET-abc; Path=/",
    "xoxb-123-S3CRETabc is revoked",
    "ghp_S3CRETabcdefghij is revoked",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiS3CRET.sig",
]
PLAIN = [
    "order 17 is not valid",
    "unexpected token: }",
    "password: must have 8 characters",
    "KeyError: 'token'",
    "column 'token': a set cannot be stored: {1}",
    "Key (token)=(a) already exists.",
    "https://docs.github.com/rest/reference/repos#create",
    "https://example.com/probs/out-of-credit",
    "http://127.0.0.1:8080/orders/17/lines",
    "http://[::1]:8080/orders",
    "sqlite:///var/lib/shop.db cannot be opened",
    "see https://medium.com/@user/post",
    "a key=value store",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_looks_like_a_secret_goes(text: str) -> None:
    shown = redacted(text)
    assert SECRET not in shown
    assert "***" in shown
    assert redacted(shown) == shown


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_none_stays(text: str) -> None:
    assert redacted(text) == text


def test_the_name_of_a_database_stays() -> None:
    text = "postgresql://ann:pw@db.example:5432/t24b4c372189c4eaca7da61a6d6ff0411: no rights"
    assert redacted(text) == text.replace("ann:pw", "***")
    text = "moved to nats://127.0.0.1:4222/t769a2eabe2a8479a929bd6b43d667e20 at 12"
    assert redacted(text) == text


def test_where_it_went_stays() -> None:
    text = "https://ann:pw@api.example:8443/v1/orders?token=a&page=2 answered 500"
    assert (
        redacted(text) == "https://***@api.example:8443/v1/orders?token=***&page=*** answered 500"
    )


def test_what_no_store_can_hold_is_written_out() -> None:
    assert redacted("a\0b \ud800 é") == "a\\x00b \\ud800 é"
    assert Redactor(["secret"])("a\0b") == "a\\x00b"


KNOWN = "/services/T0/B0/s3cret Käse"


@pytest.mark.parametrize(
    "form",
    [
        KNOWN,
        quote(KNOWN),
        quote(KNOWN, safe=""),
        quote(KNOWN, safe="").lower(),
        KNOWN.upper(),
        repr(f"x {KNOWN}"),
        repr(KNOWN.encode()),
        KNOWN.replace(" ", "+"),
        KNOWN[:-3],
        KNOWN[:-3] + "…",
    ],
)
def test_a_known_secret_goes_in_every_form(form: str) -> None:
    shown = Redactor([KNOWN])(f"cannot POST {form}")
    assert "s3cret" not in shown.lower()
    assert shown.startswith("cannot POST")


def test_short_texts_are_no_secrets() -> None:
    redact = Redactor(["pg", ""])
    assert redact("pg is down") == "pg is down"
    assert redact.secrets == frozenset()


@pytest.mark.parametrize("part", ["a", "http://", "token=", "'token':", "x.", "password", "-", '"'])
def test_a_long_text_is_no_work_without_end(part: str) -> None:
    text = part * (20_000 // len(part))
    assert len(redacted(text)) <= len(text)
