"""What data becomes in a message: it calls nobody, and hides no link."""

from __future__ import annotations

from typing import get_args

import pytest

from busway.event import Event
from busway.sink.chat.message import ChatKind, markup_escape
from busway.sink.template import make_renderer
from sink_load import an_item

KINDS: tuple[ChatKind, ...] = get_args(ChatKind)
CALLS = [
    "@all",
    "@channel",
    "@here",
    "@everyone",
    "@ann.smith",
    "x @all",
    "x.@all",
    "_@all",
    "@@all",
    "(@here)",
    "@\u00e9lise",
    "<!channel>",
    "<!here|here>",
    "<!all>",
    "<!everyone>",
    "<@U123>",
    "<@&42>",
    "<#C123>",
    "<!subteam^S1>",
    "<!date^1^x|y>",
]
LINKS = ["[bank](https://evil.example)", "![](https://evil.example/x.png)", "[a][b]", "[b]: //evil"]
HARMLESS = ["ann@shop.example", "50 @ 3", "a [1] (2)", "x < y", "tab\tand\nline", "100 %", "*a_b*"]
UNSEEN = ["\0", "\x1b[31m", "\x07", "\x9b", "\u202e", "\u2066", "\u2028", "a\rb"]


def filled(kind: ChatKind, template: str, **data: str) -> str:
    """Return a message's text, with ``|`` for the space that has no width."""
    item = an_item(0, event=Event(type="t", source="/s", id="1"))
    text = make_renderer("chat", "text", template).render(item, data, markup_escape(kind))
    return text.replace("\u200b", "|")


def apart(kind: ChatKind, text: str) -> str:
    return filled(kind, "{data[a]}", a=text)


@pytest.mark.parametrize("text", CALLS + LINKS)
def test_markup_is_broken(text: str) -> None:
    for kind in KINDS:
        shown = apart(kind, text)
        assert text not in shown
        plain = shown.replace("|", "").replace("&lt;", "<").replace("&gt;", ">")
        assert plain.replace("&amp;", "&") == text.replace("|", "")


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_stays_as_it_is(text: str) -> None:
    for kind in KINDS:
        shown = apart(kind, text).replace("&lt;", "<")
        assert shown == text


@pytest.mark.parametrize("text", UNSEEN)
def test_control_characters_are_shown_by_their_names(text: str) -> None:
    for kind in KINDS:
        shown = apart(kind, text)
        assert "\\" in shown
        assert shown.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("template", "data", "shown"),
    [
        ("{data[a]}{data[b]}", {"a": "@", "b": "all"}, "@|all"),
        ("{data[a]}all", {"a": "@"}, "@|all"),
        ("{data[a]}!channel>", {"a": "<"}, "<|!channel>"),
        ("{data[a]}{data[b]}", {"a": "<", "b": "!here>"}, "<|!here>"),
        ("<{data[a]}|order>", {"a": "!channel"}, "<|!channel|order>"),
        ("<!{data[a]}>", {"a": "channel"}, "<!|channel>"),
        ("@{data[a]}", {"a": "all"}, "@|all"),
        ("{data[a]}(https://shop.example)", {"a": "[x]"}, "[x]|(https://shop.example)"),
        ("[x]{data[a]}", {"a": "(https://evil.example)"}, "[x]|(https://evil.example)"),
        ("{data[a]}@{data[b]}", {"a": "ann", "b": "shop.example"}, "ann@shop.example"),
        ("@all <!here> [x](y) {data[a]}", {"a": "fine"}, "@all <!here> [x](y) fine"),
        ("<{data[a]}|order>", {"a": "https://shop.example"}, "<https://shop.example|order>"),
        ("{data[a]}", {"a": ""}, ""),
    ],
)
def test_nothing_is_completed_where_texts_meet(
    template: str, data: dict[str, str], shown: str
) -> None:
    assert filled("mattermost", template, **data) == shown


def test_a_template_for_slack_may_name_a_user_by_data() -> None:
    assert filled("slack", "<@{data[a]}>", a="U123") == "<@U123>"
    assert filled("slack", "<@{data[a]}>", a="!channel") == "<@!channel>"
    assert filled("mattermost", "<@{data[a]}>", a="all") == "<@|all>"
