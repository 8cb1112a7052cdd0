"""Fingerprints of failures: failures with the same root cause share one. Pure."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path, PurePath

from busway.error_message import is_code, summarize_error
from busway.failed_event import Failure

PLACEHOLDER = "…"
"""Replaces the variable parts of a message."""
_MESSAGE_CHARS = 2_000
_TITLE_CHARS = 200
_PACKAGE_FOLDER = str(Path(__file__).parents[1])

_CHAIN = re.compile(
    r"^(?:The above exception was the direct cause of the following exception:"
    r"|During handling of the above exception, another exception occurred:)$",
    re.MULTILINE,
)
_FRAME = re.compile(r'^[ |+]*File "(.+)", line \d+, in (.+)$')
_LIBRARY_FILE = re.compile(r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib[/\\]python\d[\d.]*[/\\]|^<")

_NAMING_ERRORS = frozenset(
    "KeyError AttributeError NameError UnboundLocalError ModuleNotFoundError ImportError TypeError"
    " FileNotFoundError FileExistsError PermissionError IsADirectoryError NotADirectoryError"
    " FrozenInstanceError UndefinedError UndefinedColumnError UndefinedTableError".split()
)
"""Exceptions whose message quotes a name of the program, which is part of the cause."""
_NAME = re.compile(r"(?<![\w\"'])[\"'`]([^\"'`\n]{1,200})[\"'`](?!\w)")
_SCHEMA_OBJECT = re.compile(
    r"\b((?i:constraint|column|relation|table|view|index|trigger|function|attribute|argument|field"
    r"|parameter|property|module|method|schema|enum|sequence|role)) [\"'`]"
    r"([A-Za-z_][\w.$]{0,62})[\"'`](?!\w)"
)
"""A quoted name of an object of a schema or a program."""
_STATUS = re.compile(r"'([1-5]\d\d) ([A-Z][A-Za-z -]+)'")
"""A status as httpx formats it."""
_OPAQUE = re.compile(r"(?=[\w+/-]*\d)(?=[\w+/-]*[A-Z])(?=[\w+/-]*[a-z])[\w+/-]{16,}={0,2}")
"""An id in base64 or similar."""
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_QUOTED = re.compile(
    r"(?<!\w)[bBfFrRuU]{0,2}([\"'])(?:\\.|[^\\])*?\1(?!\w)|“[^”]*”|«[^»]*»|‘[^’]*’", re.DOTALL
)
_UNFINISHED = re.compile(r"(?<!\w)[bBfFrRuU]{0,2}[\"'“«‘](?:\\.|[^\\])*\Z", re.DOTALL)
_VARIABLE = re.compile(
    r"\bcode=[\w.:/-]+"
    r"|\b[A-Za-z][\w+.-]*://[^\s\"'<>)\]}]+"
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    rf"|\b(?:{_DAY},?\s+)?\d{{1,2}}[\s-]{_MONTH}[\s-]\d{{2,4}}\b"
    rf"|\b(?:{_DAY},?\s+)?{_MONTH}\s+\d{{1,2}}\b"
    r"|(?<![\w.])[-+]?\.?\w+(?:[-._:]\w+)*",
)
_UNIT = re.compile(rf"{PLACEHOLDER}\s+(?:UTC|GMT)\b")
_LITERAL = r"(?:true|false|null|True|False|None)\b"
_BRACKETED = re.compile(
    rf"(?<!\w)[\[{{(]\s*(?:(?:[\w.]*\({PLACEHOLDER}?\)|[\w.]*{PLACEHOLDER}|{_LITERAL})[\s,:]*)*[\]}})]"
)
_PLACEHOLDERS = re.compile(rf"{PLACEHOLDER}(?:[\s,;:|/=+-]*{PLACEHOLDER})+")
_SPACES = re.compile(r"\s+")


class Fingerprinter:
    """Computes fingerprints, and limits the number of groups.

    For each flow, type and location, the first ``max_messages`` messages get their own fingerprint;
    all others share one, so that an API that echoes data does not create a group per event.
    """

    def __init__(self, max_messages: int = 100) -> None:
        self._max_messages = max_messages
        self._known: dict[tuple[str, str, str], set[str]] = {}

    def fingerprint_of(self, flow: str, failure: Failure) -> str:
        """Return the fingerprint of a failure of a flow."""
        own = fingerprint(failure)
        known = self._known.setdefault((flow, failure.error, location_of(failure)), set())
        if own not in known:
            if len(known) >= self._max_messages:
                return _digest(failure, PLACEHOLDER)
            known.add(own)
        return own


def fingerprint(failure: Failure) -> str:
    """Return the fingerprint of a failure's type, location and message, 12 hex digits.

    Failures that differ only in values (numbers, quoted text, ids, times, addresses, JSON) have the
    same fingerprint, and so has a failure after its code moved by some lines. Names are not values:
    a missing key or attribute, a column, a code or a message of an API's error.
    """
    return _digest(failure, _message(failure))


def _digest(failure: Failure, message: str) -> str:
    text = "\0".join((failure.error, location_of(failure), message))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]


def title(failure: Failure, group: str | None = None) -> str:
    """Return a failure's root cause in one line, for display.

    ``group`` is the fingerprint of its group. If that is not the failure's own (because there were
    too many, or an older version computed it), the group shares only type and location.

    >>> from datetime import UTC, datetime
    >>> title(Failure(1, datetime.now(UTC), "sink", "http 422", 'no customer "c-17" (id 4711)'))
    'http 422 in sink: no customer … (id …)'
    """
    text = f"{failure.error} in {location_of(failure)}"
    own = group is None or group == fingerprint(failure)
    message = _message(failure) if own else PLACEHOLDER
    text = f"{text}: {message}" if message else text
    return text if len(text) <= _TITLE_CHARS else text[: _TITLE_CHARS - 1] + "…"


def location_of(failure: Failure) -> str:
    """Return ``file:function`` of the innermost frame of the user's code, else the stage."""
    return (failure.traceback and _innermost_frame(failure.traceback)) or failure.stage


def _message(failure: Failure) -> str:
    """Return a failure's message without its variable parts."""
    reason = failure.reason
    if failure.error.rpartition(".")[2] in _NAMING_ERRORS:
        reason = _NAME.sub(r"\1", reason[:_MESSAGE_CHARS])
    return normalized_message(reason)


@lru_cache(maxsize=4_096)
def normalized_message(message: str) -> str:
    """Return a message with ``…`` in place of its variable parts.

    >>> normalized_message(
    ...     "order 4711 of 2026-11-21T10:00:00Z: total {'net': -1.5} is below 'zero'"
    ... )
    'order … of …: total … is below …'
    >>> normalized_message(
    ...     '{"error": {"code": 1024, "message": "no customer 17"}, "order": {"id": 4711}}'
    ... )
    'code=1024; no customer …'
    """
    text = summarize_error(message[:_MESSAGE_CHARS])
    text = _STATUS.sub(r"code=\1 \2", _SCHEMA_OBJECT.sub(r"\1 \2", text))
    text = _QUOTED.sub(PLACEHOLDER, text)
    if len(message) > _MESSAGE_CHARS:
        text = _UNFINISHED.sub(PLACEHOLDER, text)
    text = _VARIABLE.sub(_keep_word, _OPAQUE.sub(PLACEHOLDER, text))
    text = _UNIT.sub(PLACEHOLDER, text)
    before = ""
    while before != text:
        before = text
        text = _PLACEHOLDERS.sub(PLACEHOLDER, _BRACKETED.sub(PLACEHOLDER, text))
    return _SPACES.sub(" ", text).strip()


def _keep_word(match: re.Match[str]) -> str:
    """Keep a word; replace numbers, addresses and hashes."""
    text = match[0]
    if is_code(text):
        return text
    plain = not any(char.isdigit() for char in text) and "://" not in text and "@" not in text
    return text if plain and not _is_hex(text) else PLACEHOLDER


def _is_hex(text: str) -> bool:
    return len(text) >= 8 and all(char in "0123456789abcdefABCDEF-" for char in text)


@lru_cache(maxsize=512)
def _innermost_frame(traceback: str) -> str:
    """Return the innermost frame of the user's code, else the innermost frame."""
    frames = list(_frames(_CHAIN.split(traceback)[-1]))
    own = [frame for frame in frames if not _is_library(frame[0])]
    if not frames:
        return ""
    file, function = (own or frames)[-1]
    return f"{PurePath(file.replace(chr(92), '/')).name}:{function}"


def _frames(text: str) -> list[tuple[str, str]]:
    """Return the frames of one traceback, up to the exception's message."""
    frames: list[tuple[str, str]] = []
    for line in text.strip("\n").splitlines():
        frame = _FRAME.match(line)
        if frame is not None:
            frames.append((frame[1], frame[2]))
        elif frames and line[:1] not in ("", " "):
            break
    return frames


def _is_library(file: str) -> bool:
    return file.startswith(_PACKAGE_FOLDER) or _LIBRARY_FILE.search(file) is not None
