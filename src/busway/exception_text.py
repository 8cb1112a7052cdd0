"""Text of any exception; formatting never fails.

An exception of the user's code or of a library may raise while it is formatted, be a hundred
megabytes long, or contain characters that UTF-8 cannot encode. It is formatted anyway, at a bounded
length and without secrets (:mod:`busway.redact`).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from textwrap import indent
from types import TracebackType

import msgspec

from busway.errors import Interruption
from busway.redact import redacted

_MAX_NAME_LENGTH = 200
_MAX_REASON_LENGTH = 4_000
_MAX_LINE_LENGTH = 1_000
"""The limit for the message in a traceback, to keep the frames before it."""
_MAX_TRACEBACK_LENGTH = 4_000
_MAX_FRAMES = 40
_MAX_CHAIN = 6
_MAX_GROUP_MEMBERS = 3
"""The maximum number of exceptions shown of a group."""
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


class ExceptionText(msgspec.Struct, frozen=True):
    """An exception's name, its message, and its traceback."""

    name: str
    reason: str
    traceback: str

    @property
    def line(self) -> str:
        """Name and message."""
        return f"{self.name}: {self.reason}" if self.reason else self.name


def exception_text(error: BaseException, skip_frames_of: str = "") -> ExceptionText:
    """Return an exception as text, without leading frames in files under ``skip_frames_of``."""
    reason = redacted(_message(error))[:_MAX_REASON_LENGTH]
    shown = _or_empty(lambda: "".join(_exception_chain(error, skip_frames_of)))
    tail = redacted(_encodable(shown))[-_MAX_TRACEBACK_LENGTH:]
    return ExceptionText(_name(error), reason, tail)


def exception_line(error: BaseException) -> str:
    """Return an exception's name and message."""
    return ExceptionText(_name(error), redacted(_message(error))[:_MAX_REASON_LENGTH], "").line


def _name(error: BaseException) -> str:
    name = _or_empty(lambda: str.__str__(type(error).__qualname__))
    return _encodable(name[:_MAX_NAME_LENGTH]) or "Exception"


def _message(error: BaseException) -> str:
    """Return the message, cut to twice the length that is shown."""
    try:
        text = str.__str__(str(error))
    except Interruption:
        raise
    except BaseException as second:
        text = f"(cannot show the message: {_name(second)})"
    return _encodable(text[: 2 * _MAX_REASON_LENGTH])


def _exception_chain(error: BaseException, own: str) -> Iterator[str]:
    """Yield the exception after its causes, like Python; drops the first ones of a long chain."""
    links: list[tuple[BaseException, str]] = []
    link: BaseException | None = error
    while link is not None and len(links) < _MAX_CHAIN and all(link is not e for e, _ in links):
        previous, relation = _previous_exception(link)
        links.append((link, relation))
        link = previous
    for index, (exception, relation) in enumerate(reversed(links)):
        if relation and index:
            yield relation
        yield from _section(exception, own)


def _previous_exception(error: BaseException) -> tuple[BaseException | None, str]:
    if error.__cause__ is not None:
        return error.__cause__, _CAUSE
    if error.__suppress_context__:
        return None, ""
    return error.__context__, _CONTEXT


def _section(error: BaseException, own: str, depth: int = 0) -> Iterator[str]:
    """Yield the frames of an exception, its message, and the members of a group."""
    frames: TracebackType | None = error.__traceback__
    while own and frames is not None and own in frames.tb_frame.f_code.co_filename:
        frames = frames.tb_next
    if frames is not None:
        yield "Traceback (most recent call last):\n"
        yield _or_empty(lambda: "".join(traceback.format_tb(frames, -_MAX_FRAMES)))
    yield _last_lines(error)
    if isinstance(error, BaseExceptionGroup) and depth < _MAX_GROUP_MEMBERS:
        for member in error.exceptions[:_MAX_GROUP_MEMBERS]:
            yield indent("".join(_section(member, own, depth + 1)), "  | ")


def _last_lines(error: BaseException) -> str:
    """Return the lines that Python prints under the frames, or name and message if it cannot."""
    message = _message(error)
    if len(message) <= _MAX_LINE_LENGTH:
        lines = _or_empty(lambda: "".join(traceback.format_exception_only(error)))
        if lines:
            return lines[: 2 * _MAX_LINE_LENGTH]
    return ExceptionText(_name(error), message[:_MAX_LINE_LENGTH], "").line + "\n"


def _or_empty(show: Callable[[], str]) -> str:
    try:
        return show()
    except Interruption:
        raise
    except BaseException:
        return ""


def _encodable(text: str) -> str:
    """Return a text with the characters escaped that UTF-8 cannot encode."""
    return text.encode("utf-8", "backslashreplace").decode()
