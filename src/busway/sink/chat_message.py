"""Messages as the incoming webhooks of chats take them, and what must not be said in one by data.

Sources: https://docs.slack.dev/messaging/formatting-message-text,
https://developers.mattermost.com/integrate/webhooks/incoming,
https://discord.com/developers/docs/resources/webhook,
https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

Kind = Literal["slack", "mattermost", "discord", "teams"]

_LONGEST = {"slack": 40_000, "mattermost": 16_383, "discord": 2_000, "teams": 20_000}
_MENTION = re.compile(r"@(?=\w)")


def escaped(kind: Kind) -> Callable[[str], str]:
    """Return what keeps data from being taken for markup that calls people."""
    return _escaped_for_slack if kind == "slack" else _without_mentions


def message(kind: Kind, text: str) -> dict[str, object]:
    """Return the JSON of a message."""
    longest = _LONGEST[kind]
    shown = text if len(text) <= longest else text[: longest - 1] + "…"
    match kind:
        case "discord":
            return {"content": shown, "allowed_mentions": {"parse": []}}
        case "teams":
            return {"type": "message", "attachments": [_card(shown)]}
        case _:
            return {"text": shown}


def _card(text: str) -> dict[str, object]:
    return {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "content": {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": [{"type": "TextBlock", "text": text, "wrap": True}],
        },
    }


def _escaped_for_slack(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _without_mentions(text: str) -> str:
    return _MENTION.sub("@\u200b", text)
