"""A wrong call of what users declare with names the parameter, the place and the likely one."""

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


def called(function: Callable[..., Any], *arguments: object, **named: object) -> str:
    """Return what is said of a wrong call, without its place."""
    with pytest.raises(CallError) as caught:
        function(*arguments, **named)
    file, line, text = str(caught.value).split(":", 2)
    assert (file, int(line) > 0) == (__file__, True)
    return text.strip()


WRONG_CALLS: list[tuple[Callable[..., Any], tuple[object, ...], dict[str, object], str]] = [
    (sinks.jsonl, (), {}, "jsonl: path is missing; give path=…"),
    (sinks.jsonl, ("a",), {"path": "b"}, "jsonl: path is given twice, by place and by name"),
    (sinks.console, ("x",), {}, "console: it got a positional value; it takes none: write name"),
    (sinks.jsonl, ("a", "b", "c"), {}, "jsonl: it got 3 positional values; only path, mode can"),
    (sinks.http, ("http://x",), {"timeot": 5}, "http: there is no parameter 'timeot'; did you"),
    (sinks.http, ("http://x",), {"xyz": 5}, "http: there is no parameter 'xyz'; there are: url, m"),
    (
        sinks.chat,
        ("http://x", "hi"),
        {"kind": "slak"},
        "chat: kind is 'slak'; did you mean 'slack'",
    ),
    (
        sinks.smtp,
        ("x",),
        {"sender": "a", "to": "b", "port": "25"},
        "port is '25'; give a whole numb",
    ),
    (
        sinks.postgres,
        ("x", "t"),
        {"create": "yes"},
        "postgres: create is 'yes'; give True or False",
    ),
    (sinks.postgres, (7, "t"), {}, "postgres: dsn is an int; give a text or env("),
    (
        sinks.http,
        ("http://x",),
        {"headers": {"a": 5}},
        "headers['a'] is an int; give a text",
    ),
    (Backoff, (), {"schedule": ["5s", None]}, "schedule[1] is None; give a text or a number"),
    (sinks.sqlite, ("x", "t"), {"key": 5}, "sqlite: key is 5; give a text, a list or None"),
    (sinks.bus, (), {"typ": "x"}, "bus: there is no parameter 'typ'; did you mean 'type'?"),
    (alerts.dead_letters, (), {"abov": 3}, "dead_letters: there is no parameter 'abov'; did you"),
    (alerts.silence, (), {}, "silence: source is missing"),
    (Backoff, (), {"atempts": 3}, "Backoff: there is no parameter 'atempts'; did you mean 'attem"),
    (Backoff, (), {"dead": "ValueError"}, "Backoff: dead is 'ValueError'; give a list"),
    (BreakerPolicy, (0.5,), {}, "BreakerPolicy: it got a positional value; it takes none"),
    (Window, ("* * * * *",), {}, "Window: lasts is missing"),
    (Window, ("* * * * *", 7), {}, "Window: lasts is 7; give a text"),
    (Adaptive, (), {"max_limit": "many"}, "Adaptive: max_limit is 'many'; give a whole number"),
    (
        Step,
        (len,),
        {"timeout": 5},
        "Step: there is no parameter 'timeout'; did you mean 'timeout_s'",
    ),
    (App, (), {}, "App: name is missing"),
    (App, (5,), {}, "App: name is 5; give a text"),
    (App("x").limit, ("crm",), {"rte": "1/s"}, "app.limit: there is no parameter 'rte'; did you"),
    (App("x").alert, ("late",), {}, "app.alert: condition is missing"),
    (App("x").flow, ("a", {"type": ["x"]}), {}, "app.flow: it got 2 positional values; only name"),
    (env, (), {}, "env: name is missing"),
    (
        env,
        ("X",),
        {"defualt": "y"},
        "env: there is no parameter 'defualt'; did you mean 'default'?",
    ),
]


@pytest.mark.parametrize(("function", "arguments", "named", "says"), WRONG_CALLS)
def test_a_wrong_call_says_what_is_wrong(
    function: Callable[..., Any], arguments: tuple[object, ...], named: dict[str, object], says: str
) -> None:
    assert says in called(function, *arguments, **named)


def test_a_wrong_call_names_every_mistake_and_counts_a_misspelt_one_once() -> None:
    text = called(sinks.postgres, "postgresql://x/y", tabel="orders", creat=True)
    assert [line.rpartition("postgres: ")[2] for line in text.splitlines()] == [
        "there is no parameter 'tabel'; did you mean 'table'?",
        "there is no parameter 'creat'; did you mean 'create'?",
    ]


def test_a_value_that_may_be_secret_is_not_shown() -> None:
    text = called(sinks.http, "http://x", sign=4711)
    assert "4711" not in text
    assert "sign is an int" in text


@pytest.mark.parametrize("module", [sinks, alerts])
def test_every_public_declaration_checks_its_calls(module: Any) -> None:
    for name in module.__all__:
        declared = getattr(module, name)
        assert issubclass(declared, Declarable)
        parameters = inspect.signature(declared).parameters.values()
        given = {one.name: "x" for one in parameters if one.default is one.empty}
        assert f"{name}: there is no parameter 'wrong_one'" in called(
            declared, **given, wrong_one=1
        )


@pytest.mark.parametrize(
    ("function", "arguments", "named", "says"),
    [
        (
            sinks.http,
            ("https://x/{data[id]}",),
            {},
            "http: url is not a template, and '{data[id]}'",
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
def test_a_place_for_data_in_what_is_no_template_is_refused(
    function: Callable[..., Any], arguments: tuple[object, ...], named: dict[str, object], says: str
) -> None:
    assert says in called(function, *arguments, **named)


def test_templates_and_other_braces_are_taken() -> None:
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
    assert "sink" not in str(caught.value), "a wrong sink is told once, as the call that it is"


def test_mistakes_before_an_exception_are_reported_with_it(tmp_path: Path) -> None:
    file = tmp_path / "flows.py"
    file.write_text("from busway.sinks import jsonl\njsonl(pth='x')\n1 / 0\n")
    with pytest.raises(FlowError) as caught:
        load_app(str(file))
    assert "did you mean 'path'?\n" in str(caught.value)
    assert "flows.py:3: ZeroDivisionError" in str(caught.value)


def test_what_stands_for_a_wrong_call_goes_where_the_right_one_would() -> None:
    with collecting_mistakes() as mistakes:
        made: Any = sinks.jsonl(any_call, "0600", any_call)  # type: ignore[call-arg]
        assert isinstance(made.name, InvalidCall)
        assert made(len) is len
        assert isinstance(alerts.breaker_open(destination=made), InvalidCall)
    assert len(mistakes) == 1
