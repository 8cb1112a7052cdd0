"""Where the fields of a request travel: in the path, in the query, or in the body."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest

from busway.cli.operation_request import http_request
from busway.control.discovery import all_operations
from busway.control.field import argument, option
from busway.control.operation import Method, Operation, OperationContext, Path, http, operation
from busway.control.placement import path_for, placement
from busway.errors import NotFound


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    key: Annotated[str | None, option("The key.")] = None


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, argument("The name.", in_query=True)]
    by_key: Filter = Filter()
    destination: Annotated[bool, option("A destination.")] = False
    reason: Annotated[str, option("Why.")] = ""


def declared(method: Method) -> Operation[Ask, None]:
    @operation(
        http(
            method,
            Path("/flows/{name}/pause", {"destination": False}),
            Path("/destinations/pause", {"destination": True}),
            tag="flows",
        ),
        summary="Ask",
    )
    async def ask(context: OperationContext, request: Ask) -> None:
        """Ask."""

    return ask


def words(method: Method, path: int) -> tuple[list[str], list[str], list[str]]:
    asked = declared(method)
    found = placement(asked, asked.http.paths[path])
    parts = (found.in_path, found.in_query, found.in_body)
    in_path, in_query, in_body = ([field.word for field in part] for part in parts)
    return in_path, in_query, in_body


def test_a_change_has_its_fields_in_the_body() -> None:
    assert words("POST", 0) == (["name"], [], ["by_key", "reason"])


def test_a_read_has_them_in_the_query_and_records_by_their_fields() -> None:
    assert words("GET", 0) == (["name"], ["key", "reason"], [])


def test_a_path_without_the_name_has_it_in_the_query() -> None:
    assert words("POST", 1) == ([], ["name"], ["by_key", "reason"])


def test_a_request_goes_to_the_path_whose_fixed_fields_it_has() -> None:
    asked = declared("POST")
    assert path_for(asked, Ask(name="a")).path == "/flows/{name}/pause"
    assert path_for(asked, Ask(name="a", destination=True)).path == "/destinations/pause"


def test_a_request_is_sent_as_it_is_placed() -> None:
    sent = http_request(declared("POST"), Ask(name="a b", reason="x"))
    assert (sent.path, sent.params) == ("/flows/a%20b/pause", {})
    assert msgspec.json.decode(sent.body or b"") == {"by_key": {"key": None}, "reason": "x"}
    read = http_request(declared("GET"), Ask(name="a", by_key=Filter(key="k"), destination=True))
    assert (read.path, read.params, read.body) == (
        "/destinations/pause",
        {"name": "a", "key": "k"},
        None,
    )


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_a_name_that_leads_to_another_path_is_not_found(name: str) -> None:
    with pytest.raises(NotFound, match="there is no flow"):
        http_request(declared("POST"), Ask(name=name))


def test_every_operation_is_found_once() -> None:
    found = [(each.module, each.name) for each in all_operations()]
    assert len(set(found)) == len(found)
    assert ("busway.control.operation.key", "revoke_key") in found
