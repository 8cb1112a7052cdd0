"""A function that cannot be called with an event is refused at the start."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from busway import App, Step
from busway.errors import FlowError
from busway.flow import compile_app
from busway.sinks import chat, console, http


class Adder:
    def __call__(self, event: object) -> object:
        return event

    def one(self, event: object) -> object:
        return event


class Lazy:
    async def __call__(self, event: object) -> AsyncIterator[object]:
        yield event


class Plain:
    def __init__(self, event: object) -> None:
        self.event = event


async def yielding(event: object) -> AsyncIterator[object]:
    yield event


async def waiting(event: object) -> object:
    return event


def generating(event: object) -> Iterator[object]:
    yield event


def by_name(*, event: object) -> object:
    return event


def error_of(**options: Any) -> str:
    app = App("t")
    app.flow("f", to=console(), **options)
    with pytest.raises(FlowError) as caught:
        compile_app(app)
    return str(caught.value)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda: 1, "<lambda> takes no parameters; a step takes one: the event"),
        (lambda event, more: 1, "<lambda> takes 2 parameters (event, more)"),
        (by_name, "by_name takes keyword-only parameters (event)"),
        (Plain, "Plain is a class; use a function"),
        (Step(lambda: 1, batch=True), "a step takes one: the list of events"),
        (5, "invalid steps[0] of type int: use a function or a Step"),
    ],
)
def test_a_step_that_cannot_take_an_event_is_rejected(step: Any, says: str) -> None:
    assert says in error_of(steps=[step])


@pytest.mark.parametrize(
    "step",
    [
        *(waiting, generating, yielding, Lazy(), Adder(), Adder().one, len, dict.copy, str.upper),
        *(lambda *events: 1, lambda event, more=1: 1, lambda event, /: 1),
        functools.partial(lambda a, b: 1, 5),
    ],
)
def test_a_callable_that_takes_an_event_is_a_step(step: Callable[..., Any]) -> None:
    app = App("t")
    app.flow("f", to=console(), steps=[step])
    assert compile_app(app).flows[0].steps[0].function == step


def test_a_decorated_function_is_checked_too() -> None:
    app = App("t")

    @app.flow(to=console(), batch=True)
    def nothing() -> list[object]:
        return []

    with pytest.raises(FlowError, match=r"nothing takes no parameters; .* the list of events"):
        compile_app(app)


def test_a_decorator_without_parentheses_is_reported_once() -> None:
    app = App("t")

    def orders(event: object) -> object:
        return event

    app.flow(orders)  # type: ignore[arg-type]
    with pytest.raises(FlowError) as caught:
        compile_app(app)
    assert str(caught.value).endswith(
        "flow 'orders': the decorator needs parentheses; write @app.flow(to=…)"
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ordered": "yes"}, "invalid ordered 'yes': use True or False"),
        ({"timeout": "5s"}, "timeout needs a decorated function"),
        ({"to": console}, "invalid to: console is not called, write to=console(…)"),
        ({"to": len}, "invalid to: len is not called"),
        ({"to": [console()]}, "invalid to of type list: a flow has one sink, declare several"),
        ({"to": http("http://crm.example:99999/")}, "give a URL like https://host/path"),
        ({"to": http("http://[crm.example/")}, "give a URL like https://host/path"),
        (
            {"to": chat("https://x/y", "{dta[text]}")},
            "{dta[text]}; did you mean 'data'?",
        ),
    ],
)
def test_an_invalid_option_is_reported(options: dict[str, Any], says: str) -> None:
    app = App("t")
    app.flow("f", **({"to": console()} | options))
    with pytest.raises(FlowError) as caught:
        compile_app(app)
    assert says in str(caught.value)
