"""What of a declaration is a secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from busway import env
from busway.secret import secrets_of
from busway.settings import Env
from busway.sinks import chat, http, jsonl, postgres, smtp


@dataclass(frozen=True)
class Theirs:
    """A sink of somebody else."""

    place: str | Env
    api_key: str | Env
    name: str = "theirs"


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URL", "https://ann:pa55@h.example/hook/S3CRET-HOOK?token=t0ken&a=b")
    monkeypatch.setenv("DSN", "postgresql://me:pa/55@db.example/shop")
    monkeypatch.setenv("KEY", "Bearer k3y-of-mine")


CASES: list[tuple[Any, set[str], set[str]]] = [
    (http(env("URL")), {"pa55", "/hook/S3CRET-HOOK", "S3CRET-HOOK", "t0ken"}, {"hook", "b"}),
    (http("https://h.example/orders?token=abcd"), {"abcd"}, {"/orders"}),
    (chat("https://h.example/services/T0/S3CRET", "x"), {"S3CRET"}, {"services"}),
    (http("https://h.example/", headers={"Authorization": env("KEY")}), {"k3y-of-mine"}, set()),
    (http("https://h.example/", headers={"X-Key": "plain-k3y"}), {"plain-k3y"}, set()),
    (http("https://h.example/", headers={"Accept": "text/plain"}), set(), {"text/plain"}),
    (postgres(env("DSN"), table="t"), {"pa/55"}, {"shop", "/shop", "db.example"}),
    (
        smtp(env("DSN"), sender="a@b.c", to="d@e.f", username="me", password="w0rd"),
        {"w0rd"},
        {"me"},
    ),
    (Theirs("somewhere", env("KEY")), {"Bearer k3y-of-mine"}, {"somewhere"}),
    (Theirs(env("KEY"), "plain-k3y"), {"Bearer k3y-of-mine", "plain-k3y"}, set()),
    (Theirs(env("NOT_SET"), ""), set(), set()),
    (jsonl("a.jsonl"), set(), {"a.jsonl"}),
]


@pytest.mark.parametrize(("sink", "secret", "plain"), CASES, ids=range(len(CASES)))
def test_what_is_secret(sink: object, secret: set[str], plain: set[str]) -> None:
    found = secrets_of(sink)
    assert secret <= found
    assert not plain & found
