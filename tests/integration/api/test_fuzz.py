"""Whatever text or number a request has, on every engine: an answer, or what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from api_client import api_on, problem
from busway.control.context import ControlContext
from busway.control.page import cursor_of
from busway.engine.registry import open_stores
from busway.settings import Settings
from dead_letter import filled, letter
from postgres_server import PostgresServer

LONG = "x" * 1_000_000
TEXTS: tuple[object, ...] = ("\0", "a\0b", "\ud800", "a\udfffb", LONG, "", "%", "\N{PILE OF POO}")
NUMBERS: tuple[object, ...] = (-1, 2**31, 2**63, -(2**63) - 1, 10**40, 1.5)
TYPES: tuple[object, ...] = (None, True, [], {}, [["\0"]], {"\0": "\0"})
BAD = (*TEXTS, *NUMBERS, *TYPES)
NAMED = {"name": "orders", "flow": "orders", "partition": "0", "offset": "0", "id": "x"}
METHODS = {"get", "post", "put", "patch", "delete"}
TAIL = "/tail"
"""It ends by itself only where it is told so."""


@pytest.fixture(params=["sqlite", "postgres"])
async def api(
    request: pytest.FixtureRequest, server: PostgresServer, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    engine = await server.fresh_database() if request.param == "postgres" else ""
    stores = await open_stores(Settings(data=tmp_path / "data", engine=engine, partitions=1))
    try:
        await filled(stores.ledger, *map(letter, range(3)))
        async with api_on(ControlContext(log=stores.log, ledger=stores.ledger)) as client:
            yield client
    finally:
        await stores.close()


async def test_no_text_and_no_number_is_a_defect_or_an_outage(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    wrong = []
    for method, url, body in requests(document):
        content = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        answer = await api.request(method, url, content=content, headers=headers)
        if not (200 <= answer.status_code < 300 or 400 <= answer.status_code < 500):
            shown = content[:300] if content else b""
            wrong.append((method, url[:120], shown, answer.status_code, answer.text[:200]))
    assert wrong == [], f"{len(wrong)}:\n" + "\n".join(map(str, wrong))


@pytest.mark.parametrize(
    ("method", "url", "body", "place"),
    [
        ("get", "/dead?flow=a%00b", None, "query.flow"),
        ("get", "/dead/a%00b/0/0", None, "path.flow"),
        ("post", "/flows/orders/pause", {"reason": "a\0b"}, "body.reason"),
        ("post", "/flows/orders/pause", {"for": "\0"}, "body.for"),
        ("post", "/dead/redrive", {"places": ["x", "\0"]}, "body.places.1"),
        ("post", "/dead/redrive", {"selection": {"key": "\0"}}, "body.selection.key"),
    ],
)
async def test_what_cannot_be_kept_is_named(
    api: httpx.AsyncClient, method: str, url: str, body: object, place: str
) -> None:
    answer = await api.request(method, url, json=body)
    assert "NUL" in problem(answer, 400)
    assert [one["place"] for one in answer.json()["errors"]] == [place]


@pytest.mark.parametrize("key", [("a\0b", 0, 0), ("orders", 2**40, 0), ("orders", 0, 2**62)])
async def test_a_cursor_that_no_page_gave_is_no_outage(
    api: httpx.AsyncClient, key: tuple[str, int, int]
) -> None:
    answer = await api.get("/dead", params={"cursor": cursor_of(key)})
    assert answer.status_code in (200, 400), answer.text


def requests(document: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield requests in which one thing is bad: of the path, of the query, or of the body."""
    for path, operations in document["paths"].items():
        for method in METHODS & operations.keys():
            found = operations[method]
            body = example_of(found)
            for url in urls(path.removeprefix("/api/v1"), found.get("parameters", [])):
                yield method, url, body
            for bad in bodies(body):
                yield method, located(path.removeprefix("/api/v1"), {}), bad


def urls(path: str, parameters: list[dict[str, Any]]) -> Iterator[str]:
    """Yield paths with one thing that is bad in them or in their query."""
    ends = "&follow=false" if path == TAIL else ""
    for one in parameters:
        for bad in map(in_url, BAD):
            if one["in"] == "path":
                yield located(path, {one["name"]: bad})
            elif one["in"] == "query" and one["name"] != "follow":
                yield f"{located(path, {})}?{one['name']}={bad}{ends}"


def located(path: str, given: dict[str, str]) -> str:
    for name, value in {**NAMED, **given}.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def in_url(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return quote(text[:20_000].encode("utf-8", "surrogatepass"), safe="")


def example_of(operation: dict[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {})
    return next((one.get("example") for one in content.values()), None)


def bodies(body: Any) -> Iterator[Any]:
    """Yield a body with each of its values, however deep, bad in each way."""
    if body is None:
        return
    yield from BAD
    if isinstance(body, dict):
        for name, value in body.items():
            yield body | {name + "\0": value}
            for bad in (*BAD, *bodies(value)):
                yield body | {name: bad}
    if isinstance(body, list):
        for bad in (*BAD, *(one for value in body for one in bodies(value))):
            yield [bad]
