"""Errors of wrong calls name the parameter, the location and the nearest valid name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from busway import (
    Adaptive,
    App,
    Backoff,
    BreakerPolicy,
    Step,
    Window,
    alerts,
    env,
    sinks,
)
from busway.declarable import CallError, Declarable, InvalidCall, collecting_mistakes
from busway.errors import FlowError
from busway.flow import compile_app, load_app

any_call: Any = None


def error_of(function: Callable[..., Any], *arguments: object, **named: object) -> str:
    """Return the error text of a wrong call, without its location."""
    with pytest.raises(CallError) as caught:
        function(*arguments, **named)
    file, line, text = str(caught.value).split(":", 2)
    assert (file, int(line) > 0) == (__file__, True)
    return text.strip()


WRONG_CALLS: list[tuple[Callable[..., Any], tuple[object, ...], dict[str, object], str]] = [
    (sinks.jsonl, (), {}, "jsonl: path is missing; add path=…"),
    (sinks.jsonl, ("a",), {"path": "b"}, "jsonl: path is given twice, by position and by name"),
    (
        sinks.console,
        ("x",),
        {},
        "console: it got a positional value, but none can be positional; write name",
    ),
    (
        sinks.jsonl,
        ("a", "b", "c"),
        {},
        "jsonl: it got 3 positional values, but only path, mode can",
    ),
    (sinks.http, ("http://x",), {"timeot": 5}, "http: there is no parameter 'timeot'; did you"),
    (sinks.http, ("http://x",), {"xyz": 5}, "http: there is no parameter 'xyz'; there are: url, m"),
    (
        sinks.chat,
        ("http://x", "hi"),
        {"kind": "slak"},
        "chat: invalid kind 'slak': did you mean 'slack'",
    ),
    (
        sinks.smtp,
        ("x",),
        {"sender": "a", "to": "b", "port": "25"},
        "invalid port '25': use an integer",
    ),
    (
        sinks.postgres,
        ("x", "t"),
        {"create": "yes"},
        "postgres: invalid create 'yes': use True or False",
    ),
    (sinks.postgres, (7, "t"), {}, "postgres: invalid dsn of type int: use a string or env("),
    (
        sinks.http,
        ("http://x",),
        {"headers": {"a": 5}},
        "invalid headers['a'] of type int: use a string",
    ),
    (Backoff, (), {"schedule": ["5s", None]}, "invalid schedule[1] None: use a string or a number"),
    (sinks.sqlite, ("x", "t"), {"key": 5}, "sqlite: invalid key 5: use a string, a list or None"),
    (sinks.bus, (), {"typ": "x"}, "bus: there is no parameter 'typ'; did you mean 'type'?"),
    (alerts.dead_letters, (), {"abov": 3}, "dead_letters: there is no parameter 'abov'; did you"),
    (alerts.silence, (), {}, "silence: source is missing"),
    (Backoff, (), {"atempts": 3}, "Backoff: there is no parameter 'atempts'; did you mean 'attem"),
    (Backoff, (), {"dead": "ValueError"}, "Backoff: invalid dead 'ValueError': use a list"),
    (
        BreakerPolicy,
        (0.5,),
        {},
        "BreakerPolicy: it got a positional value, but none can be positional",
    ),
    (Window, ("* * * * *",), {}, "Window: lasts is missing"),
    (Window, ("* * * * *", 7), {}, "Window: invalid lasts 7: use a string"),
    (Adaptive, (), {"max_limit": "many"}, "Adaptive: invalid max_limit 'many': use an integer"),
    (
        Step,
        (len,),
        {"timeout": 5},
        "Step: there is no parameter 'timeout'; did you mean 'timeout_s'",
    ),
    (App, (), {}, "App: name is missing"),
    (App, (5,), {}, "App: invalid name 5: use a string"),
    (App("x").limit, ("crm",), {"rte": "1/s"}, "app.limit: there is no parameter 'rte'; did you"),
    (App("x").alert, ("late",), {}, "app.alert: condition is missing"),
    (
        App("x").flow,
        ("a", {"type": ["x"]}),
        {},
        "app.flow: it got 2 positional values, but only name",
    ),
    (env, (), {}, "env: name is missing"),
    (
        env,
        ("X",),
        {"defualt": "y"},
        "env: there is no parameter 'defualt'; did you mean 'default'?",
    ),
]


@pytest.mark.parametrize(("function", "arguments", "named", "says"), WRONG_CALLS)
def test_a_wrong_call_raises_with_a_fix(
    function: Callable[..., Any], arguments: tuple[object, ...], named: dict[str, object], says: str
) -> None:
    assert says in error_of(function, *arguments, **named)


def test_a_wrong_call_reports_all_mistakes_and_a_misspelt_parameter_once() -> None:
    text = error_of(sinks.postgres, "postgresql://x/y", tabel="orders", creat=True)
    assert [line.rpartition("postgres: ")[2] for line in text.splitlines()] == [
        "there is no parameter 'tabel'; did you mean 'table'?",
        "there is no parameter 'creat'; did you mean 'create'?",
    ]


def test_a_possibly_secret_value_is_not_shown() -> None:
    text = error_of(sinks.http, "http://x", sign=4711)
    assert "4711" not in text
    assert "invalid sign of type int" in text


@pytest.mark.parametrize("module", [sinks, alerts])
def test_every_public_declaration_checks_its_calls(module: Any) -> None:
    for name in module.__all__:
        declared = getattr(module, name)
        assert issubclass(declared, Declarable)
        parameters = inspect.signature(declared).parameters.values()
        given = {each.name: "x" for each in parameters if each.default is each.empty}
        assert f"{name}: there is no parameter 'wrong_one'" in error_of(
            declared, **given, wrong_one=1
        )


@pytest.mark.parametrize(
    ("function", "arguments", "named", "says"),
    [
        (
            sinks.http,
            ("https://x/{data[id]}",),
            {},
            "http: url is not a template: '{data[id]}'",
        ),
        (sinks.http, ("https://x/{{ data.id }}",), {}, "url is not a template"),
        (sinks.http, ("https://x",), {"headers": {"x-id": "{id}"}}, "headers is not a template"),
        (sinks.jsonl, ("out/{type}.jsonl",), {}, "path is not a template"),
        (sinks.sqlite, ("{flow}.db", "t"), {}, "path is not a template"),
        (sinks.postgres, ("x", "orders_{data[country]}"), {}, "table is not a template"),
        (sinks.postgres, ("x", "t"), {"key": ["a", "{id}"]}, "key is not a template"),
        (sinks.bus, (), {"type": "order.{data[kind]}"}, "type is not a template"),
        (sinks.chat, ("https://x/{data[channel]}", "hi"), {}, "url is not a template"),
        (sinks.smtp, ("x",), {"sender": "{data[who]}", "to": "b@c.d"}, "sender is not a template"),
    ],
)
def test_a_placeholder_in_a_plain_text_is_rejected(
    function: Callable[..., Any], arguments: tuple[object, ...], named: dict[str, object], says: str
) -> None:
    assert says in error_of(function, *arguments, **named)


def test_templates_and_other_braces_are_accepted() -> None:
    sinks.chat("https://x", "{data[text]} of {type}")
    sinks.smtp("x", sender="a@b.c", to=["{data[email]}"], subject="{id}", password="{secret}")
    sinks.http("https://x", headers={"x-filter": '{"a": 1}'})
    sinks.postgres("postgresql://me:{word}@db/shop", "orders")
    sinks.jsonl("out/{}.jsonl")


def test_all_wrong_calls_of_a_flows_file_are_reported_together(tmp_path: Path) -> None:
    file = tmp_path / "flows.py"
    file.write_text(
        "from busway import App, Backoff\n"
        "from busway.alerts import dead_letters\n"
        "from busway.sinks import jsonl, postgres\n"
        "app = App('shop', titel=1)\n"
        "crm = app.limit('crm', rte='1/s')\n"
        "app.flow('a', to=postgres('postgresql://x/y', tabel='t'), limit=crm)\n"
        "app.flow('b', to=jsonl('x'), retry=Backoff(atempts=1), orderd=True)\n"
        "app.flow('c', {}, to=jsonl('x'))\n"
        "app.alert('d', dead_letters(abov=1))\n"
        "@app.flow(to=jsonl())\n"
        "def e(event):\n"
        "    return event.data\n"
    )
    with pytest.raises(FlowError) as caught:
        compile_app(load_app(str(file)))
    lines = [
        line.removeprefix(f"{file}:").partition(":")[0] for line in str(caught.value).split("\n")
    ]
    assert lines == ["4", "5", "6", "7", "8", "9", "10", "7"]
    assert "sink" not in str(caught.value), "a wrong sink is reported once, as a wrong call"


def test_mistakes_before_an_exception_are_reported_with_it(tmp_path: Path) -> None:
    file = tmp_path / "flows.py"
    file.write_text("from busway.sinks import jsonl\njsonl(pth='x')\n1 / 0\n")
    with pytest.raises(FlowError) as caught:
        load_app(str(file))
    assert "did you mean 'path'?\n" in str(caught.value)
    assert "flows.py:3: ZeroDivisionError" in str(caught.value)


def test_an_invalid_call_can_be_used_like_a_valid_one() -> None:
    with collecting_mistakes() as mistakes:
        made: Any = sinks.jsonl(any_call, "0600", any_call)  # type: ignore[call-arg]
        assert isinstance(made.name, InvalidCall)
        assert made(len) is len
        assert isinstance(alerts.breaker_open(destination=made), InvalidCall)
    assert len(mistakes) == 1
