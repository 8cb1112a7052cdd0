"""One file in ``control`` is an operation: a route, an entry in OpenAPI, and a command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import busway.control.operation as package
from api_client import api_on, problem
from busway.api.app import create_routes
from busway.api.openapi import document
from busway.cli.command_lookup import command_of
from busway.control.context import ControlContext
from busway.testing import MemoryLedger, MemoryLog

SOURCE = '''
"""``busway greetings``."""

from typing import Annotated

import msgspec

from busway.control.field import argument, option
from busway.control.operation import OperationContext, http, operation
from busway.errors import NotFound


class Greet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to greet."""

    name: Annotated[str, argument("Who is greeted.")]
    times: Annotated[int, option("How often.", ge=1)] = 1
    loud: Annotated[bool, option("In capital letters.")] = False


class Greeting(msgspec.Struct, frozen=True):
    """What was said, and by whom."""

    text: str
    actor: str


@operation(
    http("POST", "/greetings/{name}", tag="greetings"),
    command="greetings send",
    summary="Greet somebody",
    request=Greet(name="Ann Lee", times=2),
    result=Greeting("hello Ann Lee, hello Ann Lee", "api-token"),
)
async def send_greeting(context: OperationContext, request: Greet) -> Greeting:
    """Say hello to somebody."""
    if request.name == "nobody":
        raise NotFound("there is nobody")
    text = ", ".join([f"hello {request.name}"] * request.times)
    return Greeting(text.upper() if request.loud else text, context.actor)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one more module of operations."""
    (tmp_path / "greeting.py").write_text(SOURCE)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    yield tmp_path
    sys.modules.pop(f"{package.__name__}.greeting", None)


def control() -> ControlContext:
    return ControlContext(log=MemoryLog(1), ledger=MemoryLedger())


@pytest.mark.usefixtures("folder")
async def test_it_is_served() -> None:
    async with api_on(control()) as api:
        answer = await api.post("/greetings/ann", json={"times": 2})
        refused = await api.post("/greetings/ann", json={"time": 2})
        missing = await api.post("/greetings/nobody", json={})
        few = await api.post("/greetings/ann", json={"times": 0})
    assert answer.json() == {"text": "hello ann, hello ann", "actor": "anybody"}
    assert "did you mean 'times'?" in problem(refused, 400)
    assert problem(missing, 404) == "there is nobody"
    assert ">= 1" in problem(few, 400)


@pytest.mark.usefixtures("folder")
def test_it_is_described() -> None:
    (described,) = [
        item["post"]
        for path, item in document(create_routes(control))["paths"].items()
        if path == "/api/v1/greetings/{name}"
    ]
    assert described["summary"] == "Greet somebody"
    assert described["description"] == "Say hello to somebody."
    content = described["requestBody"]["content"]["application/json"]
    assert content["example"] == {"times": 2, "loud": False}
    answer = described["responses"]["200"]["content"]["application/json"]
    assert answer["example"]["actor"] == "api-token"
    assert {"400", "404", "409"} <= set(described["responses"])


@pytest.mark.usefixtures("folder")
def test_it_is_a_command() -> None:
    app = typer.Typer()
    group = command_of("greetings")
    assert isinstance(group, typer.Typer)
    app.add_typer(group, name="greetings")
    app.command("other")(lambda: None)
    shown = CliRunner().invoke(app, ["greetings", "send", "--help"], env={"COLUMNS": "100"}).output
    assert "Say hello to somebody." in shown
    assert 'Example: `busway greetings send "Ann Lee" --times 2`' in shown
    for text in ("Who is greeted.", "--times", "How often.", "--loud", "--json", "--url"):
        assert text in shown
