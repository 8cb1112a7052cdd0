"""The OpenAPI document is valid, and describes every operation that there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from litestar.routes import HTTPRoute
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from api_client import api_on
from busway.api.app import create_routes
from busway.api.openapi import document
from busway.control.context import ControlContext
from busway.testing import MemoryLedger, MemoryLog

APP = create_routes(lambda: ControlContext(log=MemoryLog(1), ledger=MemoryLedger()))
DOCUMENT: dict[str, Any] = document(APP)
METHODS = {"get", "post", "put", "patch", "delete"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield path, method, operation


OPERATIONS = list(operations())
IDS = [f"{method} {path}" for path, method, _ in OPERATIONS]
each = pytest.mark.parametrize("operation", [one for *_, one in OPERATIONS], ids=IDS)


async def test_it_is_served_as_it_is() -> None:
    async with api_on(ControlContext(log=MemoryLog(1), ledger=MemoryLedger())) as api:
        answer = await api.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.oai.openapi+json"
    assert answer.json() == DOCUMENT


def test_it_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    validate(DOCUMENT, cls=OpenAPIV31SpecValidator)


def test_every_route_is_described() -> None:
    served = {
        (route.path_format, method.lower())
        for route in APP.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
    }
    described = {(path, method) for path, method, _ in OPERATIONS}
    assert {one for one in served if one[1] in METHODS} - described == {
        ("/", "get"),
        ("/api/v1/openapi.json", "get"),
    }


@each
def test_an_operation_says_what_it_does(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert len(operation["description"]) > 10
    assert operation["tags"]


@each
def test_an_operation_shows_what_it_answers(operation: dict[str, Any]) -> None:
    contents = [
        content
        for status, response in operation["responses"].items()
        if status.startswith("2")
        for content in response.get("content", {}).values()
    ]
    assert all("example" in content for content in contents), "give opt=example(…)"
    assert contents or "204" in operation["responses"]


@each
def test_an_operation_shows_the_body_that_it_takes(operation: dict[str, Any]) -> None:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        assert "example" in content, "give opt=example(…, body)"


@each
def test_an_operation_tells_its_problems(operation: dict[str, Any]) -> None:
    assert {"400", "401", "403"} <= set(operation["responses"])
    for status, response in operation["responses"].items():
        if status.startswith("4"):
            assert list(response["content"]) == ["application/problem+json"]


@each
def test_a_parameter_says_what_it_is(operation: dict[str, Any]) -> None:
    for one in operation.get("parameters", []):
        if one["in"] != "path":
            assert one.get("description") or one["schema"].get("description"), one["name"]


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for *_, operation in OPERATIONS]
    assert len(set(names)) == len(names)
