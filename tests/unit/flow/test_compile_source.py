"""Declared sources: every mistake is reported at once, with its place and a fix."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from busway import App, env
from busway.errors import FlowError, SourceError
from busway.flow import compile_app
from busway.ports import (
    DecodedEvents,
    ReaderContext,
    Received,
    RequestReceiver,
    SourceReading,
    SourceRequest,
)
from busway.settings import Env, resolve
from busway.sinks import console


class Door(msgspec.Struct, frozen=True):
    """A request source of somebody else."""

    name: str
    secret: str | Env = ""

    @property
    def methods(self) -> Sequence[str]:
        return ("POST",)

    def open_receiver(self, max_event_bytes: int) -> RequestReceiver:
        return Silent()

    def validate_config(self) -> None:
        if resolve(self.secret) == "S3CRET-a1b2c3":
            raise SourceError(f"door(secret={resolve(self.secret)!r}): give a better one")


class Plain:
    """A sink, which is opened without a position."""

    name = "plain"

    async def open(self, context: object) -> object:
        raise NotImplementedError


class Silent:
    def receive(self, request: SourceRequest) -> Received:
        return DecodedEvents((), ())


class Well(msgspec.Struct, frozen=True):
    """A reader of somebody else."""

    name: str

    async def open(self, context: ReaderContext, position: bytes | None) -> SourceReading:
        raise NotImplementedError


def shop(*sources: object, events: bool = True) -> App:
    app = App("shop", events=events)
    app.flow("all", to=console())
    for source in sources:
        app.source(source)
    return app


def mistakes(*sources: object) -> list[str]:
    with pytest.raises(FlowError) as raised:
        compile_app(shop(*sources))
    return [line.partition(": ")[2] for line in str(raised.value).splitlines()]


def test_both_kinds_are_in_the_program_in_the_order_in_which_they_were_declared() -> None:
    program = compile_app(shop(Door("orders"), Well("ticks")))
    assert program.sources == (Door("orders"), Well("ticks"))


def test_events_are_accepted_unless_the_app_switches_them_off() -> None:
    assert compile_app(shop()).takes_events
    assert not compile_app(shop(events=False)).takes_events


def test_a_sink_is_not_a_source() -> None:
    assert mistakes(Plain()) == [
        "app.source: it is a Plain, not a source; give one of busway.sources,"
        " like webhook('orders')",
    ]


def test_all_mistakes_are_reported_together() -> None:
    assert mistakes("orders", Door, Door("a b"), Well("events"), Door("x"), Well("x")) == [
        "app.source: it is a str, not a source; give one of busway.sources, like webhook('orders')",
        "app.source: it is door, which was not called: write door(…);"
        " give one of busway.sources, like webhook('orders')",
        "source 'a b': its name must begin with a letter and have letters, digits, _ . - only",
        "source 'events': POST /events has this name; give it another",
        f"source 'x': the source at line {line_of_sources()} has this name too;"
        " give one of them another",
    ]


def line_of_sources() -> int:
    """Return the line of ``shop`` that declares sources."""
    return shop(Well("x")).sources[0].line


def test_a_mistake_names_file_and_line() -> None:
    app = shop(Door("a b"))
    with pytest.raises(FlowError, match=rf"test_compile_source\.py:{line_of_sources()}: source"):
        compile_app(app)


def test_a_variable_that_is_not_set_is_named() -> None:
    (what,) = mistakes(Door("orders", env("DOOR_SECRET")))
    assert what.startswith("source 'orders'.secret: the environment variable DOOR_SECRET")


def test_what_a_source_finds_wrong_is_reported_without_its_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOOR_SECRET", "S3CRET-a1b2c3")
    (what,) = mistakes(Door("orders", env("DOOR_SECRET")))
    assert what == "source 'orders': door(secret=***): give a better one"
