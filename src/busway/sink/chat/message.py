"""Messages for incoming webhooks of chats, with data escaped so that it is not markup.

Sources: https://docs.slack.dev/messaging/formatting-message-text,
https://developers.mattermost.com/integrate/webhooks/incoming,
https://discord.com/developers/docs/resources/webhook,
https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Literal

from busway.sink.template import Escape

ChatKind = Literal["slack", "mattermost", "discord", "teams"]

_MAX_CHARS = {"slack": 40_000, "mattermost": 16_383, "discord": 2_000, "teams": 20_000}
_ZERO_WIDTH_SPACE = "\u200b"
"""Breaks markup when inserted between its characters."""
_MARKUP = re.compile(r"(?<![^\W_])@(?=\w|$)|<(?=[!@#]|$)|\](?=[(\[:]|$)")
"""Mentions, also Slack's, which Mattermost takes too, and links; at the end of data what follows
might complete one. An ``@`` behind a letter or a digit is that of a mail address."""
_COMPLETED_MARKUP = re.compile(r"(?:(?<![^\W_])@\w|<!\w|<[!@#]|\][(\[:])\Z")
_SLACK_USER = re.compile(r"<@\w\Z")
_CONTROL_CHARACTERS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters except for line breaks and tabs, and what turns the direction of a text."""


def markup_escape(kind: ChatKind) -> Escape:
    """Return a function that escapes markup in data: no mentions, no disguised links.

    >>> markup_escape("mattermost")("@all, <!here>, ann@shop.example", "").replace("\u200b", "|")
    '@|all, <|!here>, ann@shop.example'
    """
    return partial(_escaped, kind)


def message_json(kind: ChatKind, text: str) -> dict[str, object]:
    """Return the JSON of a message."""
    max_chars = _MAX_CHARS[kind]
    shown = text if len(text) <= max_chars else text[: max_chars - 1] + "…"
    match kind:
        case "discord":
            return {"content": shown, "allowed_mentions": {"parse": []}}
        case "teams":
            return {"type": "message", "attachments": [_adaptive_card(shown)]}
        case _:
            return {"text": shown}


def _adaptive_card(text: str) -> dict[str, object]:
    return {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "content": {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": [{"type": "TextBlock", "text": text, "wrap": True}],
        },
    }


def _escaped(kind: ChatKind, text: str, before: str) -> str:
    """Escape data that follows a text, which may end with the beginning of markup."""
    if not text:
        return text
    text = _CONTROL_CHARACTERS.sub(_escaped_character, text.replace("\r\n", "\n"))
    joint = before[-3:] + text[:1]
    # <@{data[user]}> is the intended way for a template to mention a user named by data.
    is_intended = kind == "slack" and _SLACK_USER.search(joint)
    start = _ZERO_WIDTH_SPACE if _COMPLETED_MARKUP.search(joint) and not is_intended else ""
    if kind == "slack":
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return start + _MARKUP.sub(rf"\g<0>{_ZERO_WIDTH_SPACE}", text)


def _escaped_character(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
