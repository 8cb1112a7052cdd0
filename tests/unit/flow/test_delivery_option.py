"""Options about delivery: what people give, what becomes of it, and what is told of mistakes."""

from __future__ import annotations

from typing import Any

import pytest

from busway import Adaptive, App, Backoff, BreakerPolicy
from busway.delivery.rate import Rate
from busway.errors import FlowError
from busway.flow import Flow, compile_app
from busway.flow.limit import CompiledLimit
from busway.sinks import console, http


def compiled(**options: Any) -> Flow:
    app = App("t")
    app.flow("f", **({"to": console()} | options))
    return compile_app(app).flows[0]


def test_a_list_of_waits_is_a_schedule() -> None:
    backoff = compiled(retry=["5s", "1m", "10m", "1h"]).backoff
    assert backoff.max_attempts == 5
    assert [backoff.delay_s(n, 0.9) for n in range(1, 5)] == [5, 60, 600, 3600]


def test_rates_have_bursts() -> None:
    assert compiled(rate="100/s burst 500").rate == Rate(100.0, 500)


@pytest.mark.parametrize(
    ("given", "trip"),
    [
        (0.8, BreakerPolicy(ratio=0.8)),
        (False, BreakerPolicy(ratio=None)),
        (BreakerPolicy(min_attempts=5, within="1m"), BreakerPolicy(min_attempts=5, within="1m")),
        (None, None),
    ],
)
def test_a_breaker_is_a_policy_a_ratio_or_false(given: object, trip: BreakerPolicy | None) -> None:
    assert compiled(breaker=given).breaker_policy == trip


def test_limits_are_given_as_objects_or_by_name() -> None:
    app = App("t")
    crm = app.limit("crm", rate="10/s", concurrency=5)
    app.limit("mail", concurrency="adaptive")
    app.flow("a", to=console(), limit=crm)
    app.flow("b", to=console(), limit=["mail", crm])
    program = compile_app(app)
    assert [flow.limits for flow in program.flows] == [("crm",), ("crm", "mail")]
    assert program.limits == (
        CompiledLimit("crm", Rate(10.0), 5),
        CompiledLimit("mail", None, Adaptive()),
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"retry": 5}, "retry: invalid value 5: use a Backoff"),
        ({"retry": ["5s", "soon"]}, r"retry: schedule\[1\]: invalid duration 'soon'"),
        ({"retry": Backoff(attempts=0)}, "retry: invalid attempts 0"),
        ({"rate": "100/s burst 0"}, "rate: invalid rate '100/s burst 0'"),
        ({"breaker": "often"}, "breaker: invalid value 'often': use a BreakerPolicy"),
        ({"breaker": 2}, "breaker: invalid ratio 2"),
        ({"limit": "cmr"}, "limit: unknown limit 'cmr': did you mean 'crm'?"),
        ({"limit": "mail"}, "limit: unknown limit 'mail': declare it with app.limit"),
        ({"limit": App("u").limit("crm", rate="1/s")}, "limit: unknown limit 'crm'"),
        ({"limit": 5}, "limit: invalid value 5: use the result of app.limit"),
    ],
    ids=str,
)
def test_a_mistake_is_reported_with_a_fix(options: dict[str, Any], text: str) -> None:
    app = App("t")
    app.limit("crm", rate="10/s")
    app.flow("f", to=console(), **options)
    with pytest.raises(FlowError, match=text):
        compile_app(app)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "limit 'x': it limits nothing"),
        ({"rate": "fast"}, "limit 'x': rate: invalid rate 'fast'"),
        ({"concurrency": 0}, "limit 'x': concurrency: invalid concurrency 0"),
        ({"concurrency": Adaptive(5, 2)}, "limit 'x': concurrency: invalid concurrency Adaptive"),
    ],
    ids=str,
)
def test_a_mistake_in_a_limit_is_reported_with_its_location(
    given: dict[str, Any], text: str
) -> None:
    app = App("t")
    app.limit("x", **given)
    app.flow("f", to=console())
    with pytest.raises(FlowError, match=rf"{__file__}:\d+: {text}"):
        compile_app(app)


def test_limits_with_the_same_name_are_a_mistake() -> None:
    app = App("t")
    app.limit("x", rate="1/s")
    app.limit("x", rate="2/s")
    app.flow("f", to=console())
    with pytest.raises(FlowError, match="another limit has the same name"):
        compile_app(app)


def test_flows_to_one_destination_must_have_the_same_breaker_policy() -> None:
    app = App("t")
    app.flow("a", to=http("http://x"), breaker=0.8)
    app.flow("b", to=http("http://x"))
    app.flow("c", to=http("http://y"), breaker=0.2)
    program = compile_app(app)
    assert program.breaker_policy_of(http("http://x")) == BreakerPolicy(ratio=0.8)
    assert program.breaker_policy_of(http("http://z")) == BreakerPolicy()
    app.flow("d", to=http("http://x"), breaker=0.5)
    with pytest.raises(
        FlowError, match="flow 'd': breaker: flow 'a' to this destination has a different policy"
    ):
        compile_app(app)
