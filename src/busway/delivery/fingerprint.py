"""The root cause of a failure: what failures of the same cause have in common. Pure."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path, PurePath

from busway.outcome import Failure

VARIES = "…"
"""What stands in a message for what is different each time."""
_MESSAGE_CHARS = 2_000
_TITLE_CHARS = 200
_HOME = str(Path(__file__).parents[1])

_CHAIN = re.compile(
    r"^(?:The above exception was the direct cause of the following exception:"
    r"|During handling of the above exception, another exception occurred:)$",
    re.MULTILINE,
)
_FRAME = re.compile(r'^[ |+]*File "(.+)", line \d+, in (.+)$')
_FOREIGN = re.compile(r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib[/\\]python\d[\d.]*[/\\]|^<")

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_QUOTED = re.compile(
    r"(?<!\w)[bBfFrRuU]{0,2}([\"'])(?:\\.|[^\\])*?\1(?!\w)|“[^”]*”|«[^»]*»|‘[^’]*’", re.DOTALL
)
_UNFINISHED = re.compile(r"(?<!\w)[bBfFrRuU]{0,2}[\"'“«‘](?:\\.|[^\\])*\Z", re.DOTALL)
_VARIABLE = re.compile(
    r"\b[A-Za-z][\w+.-]*://[^\s\"'<>)\]}]+"
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    rf"|\b(?:{_DAY},?\s+)?\d{{1,2}}[\s-]{_MONTH}[\s-]\d{{2,4}}\b"
    rf"|\b(?:{_DAY},?\s+)?{_MONTH}\s+\d{{1,2}}\b"
    r"|(?<![\w.])[-+]?\.?\w+(?:[-._:]\w+)*",
)
_UNIT = re.compile(rf"{VARIES}\s+(?:UTC|GMT)\b")
_LITERAL = r"(?:true|false|null|True|False|None)\b"
_SET_OFF = re.compile(
    rf"(?<!\w)[\[{{(]\s*(?:(?:[\w.]*\({VARIES}?\)|[\w.]*{VARIES}|{_LITERAL})[\s,:]*)*[\]}})]"
)
_SEVERAL = re.compile(rf"{VARIES}(?:[\s,;:|/=+-]*{VARIES})+")
_SPACES = re.compile(r"\s+")


def fingerprint(failure: Failure) -> str:
    """Return 12 hex digits for what a failure is: its type, its place, and what it says.

    Failures that differ only in values (numbers, quoted text, ids, times, addresses, JSON) have
    the same one; so has the same failure after the code around it moved by some lines.
    """
    message = gist(failure.reason)
    text = "\0".join((failure.error, place_of(failure), message))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]


def title(failure: Failure) -> str:
    """Return a failure's root cause for people, in one line.

    >>> from datetime import UTC, datetime
    >>> title(Failure(1, datetime.now(UTC), "sink", "http 422", 'no customer "c-17" (id 4711)'))
    'http 422 in sink: no customer … (id …)'
    """
    text = f"{failure.error} in {place_of(failure)}"
    message = gist(failure.reason)
    text = f"{text}: {message}" if message else text
    return text if len(text) <= _TITLE_CHARS else text[: _TITLE_CHARS - 1] + "…"


def place_of(failure: Failure) -> str:
    """Return ``file:function`` of the innermost frame of the user's code, or else the stage."""
    return (failure.traceback and _innermost(failure.traceback)) or failure.stage


@lru_cache(maxsize=4_096)
def gist(message: str) -> str:
    """Return a message with ``…`` in place of all that varies.

    >>> gist("order 4711 of 2026-11-21T10:00:00Z: total {'net': -1.5} is below 'zero'")
    'order … of …: total … is below …'
    """
    text = message[:_MESSAGE_CHARS]
    text = _QUOTED.sub(VARIES, text)
    if len(message) > _MESSAGE_CHARS:
        text = _UNFINISHED.sub(VARIES, text)
    text = _VARIABLE.sub(_token, text)
    text = _UNIT.sub(VARIES, text)
    before = ""
    while before != text:
        before = text
        text = _SEVERAL.sub(VARIES, _SET_OFF.sub(VARIES, text))
    return _SPACES.sub(" ", text).strip()


def _token(found: re.Match[str]) -> str:
    """Keep a word; what has a digit, or is an address or a hash, varies."""
    text = found[0]
    plain = not any(char.isdigit() for char in text) and "://" not in text and "@" not in text
    return text if plain and not _is_hex(text) else VARIES


def _is_hex(text: str) -> bool:
    return len(text) >= 8 and all(char in "0123456789abcdefABCDEF-" for char in text)


@lru_cache(maxsize=512)
def _innermost(traceback: str) -> str:
    """Return where a traceback ends in code that is the user's, or else where it ends."""
    frames = list(_frames(_CHAIN.split(traceback)[-1]))
    own = [frame for frame in frames if not _is_foreign(frame[0])]
    if not frames:
        return ""
    file, function = (own or frames)[-1]
    return f"{PurePath(file.replace(chr(92), '/')).name}:{function}"


def _frames(text: str) -> list[tuple[str, str]]:
    """Return the frames of one traceback, up to the exception's own text."""
    found: list[tuple[str, str]] = []
    for line in text.strip("\n").splitlines():
        frame = _FRAME.match(line)
        if frame is not None:
            found.append((frame[1], frame[2]))
        elif found and line[:1] not in ("", " "):
            break
    return found


def _is_foreign(file: str) -> bool:
    return file.startswith(_HOME) or _FOREIGN.search(file) is not None
