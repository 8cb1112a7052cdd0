"""What an exception says, as text: whatever the exception is, this does not fail.

An exception of the user's code or of a library may raise while it is shown, be a hundred megabytes
long, or hold what UTF-8 cannot write. It is shown all the same, at a bounded length, and without
the secrets of the addresses in it (:mod:`busway.redact`).
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
"""Of the message in a traceback, so that the frames before it are kept."""
_MAX_TRACEBACK_LENGTH = 4_000
_MAX_FRAMES = 40
_MAX_CHAIN = 6
_MAX_GROUP_MEMBERS = 3
"""How many exceptions of a group are shown."""
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


class ExceptionText(msgspec.Struct, frozen=True):
    """An exception's name, its message, and its traceback."""

    name: str
    reason: str
    traceback: str

    @property
    def line(self) -> str:
        """Name and message in one."""
        return f"{self.name}: {self.reason}" if self.reason else self.name


def exception_text(error: BaseException, skip_frames_of: str = "") -> ExceptionText:
    """Return an exception as text.

    Frames of files with ``skip_frames_of`` in their path, which lead to the code that failed, are
    left out.
    """
    reason = redacted(_message(error))[:_MAX_REASON_LENGTH]
    shown = _or_empty(lambda: "".join(_exception_chain(error, skip_frames_of)))
    tail = redacted(_encodable(shown))[-_MAX_TRACEBACK_LENGTH:]
    return ExceptionText(_name(error), reason, tail)


def exception_line(error: BaseException) -> str:
    """Return an exception's name and message in one line of text."""
    return ExceptionText(_name(error), redacted(_message(error))[:_MAX_REASON_LENGTH], "").line


def _name(error: BaseException) -> str:
    name = _or_empty(lambda: str.__str__(type(error).__qualname__))
    return _encodable(name[:_MAX_NAME_LENGTH]) or "Exception"


def _message(error: BaseException) -> str:
    """Return what the exception says, cut to twice the length that is shown of it."""
    try:
        text = str.__str__(str(error))
    except Interruption:
        raise
    except BaseException as second:
        text = f"(its text cannot be shown: {_name(second)})"
    return _encodable(text[: 2 * _MAX_REASON_LENGTH])


def _exception_chain(error: BaseException, own: str) -> Iterator[str]:
    """Yield the exception after those that led to it, as Python does; the first of many are left
    out."""
    links: list[tuple[BaseException, str]] = []
    one: BaseException | None = error
    while one is not None and len(links) < _MAX_CHAIN and all(one is not seen for seen, _ in links):
        links.append((one, ""))
        before, how = _previous_exception(one)
        links[-1] = (one, how)
        one = before
    for place, (one, how) in enumerate(reversed(links)):
        if how and place:
            yield how
        yield from _section(one, own)


def _previous_exception(error: BaseException) -> tuple[BaseException | None, str]:
    if error.__cause__ is not None:
        return error.__cause__, _CAUSE
    if error.__suppress_context__:
        return None, ""
    return error.__context__, _CONTEXT


def _section(error: BaseException, own: str, depth: int = 0) -> Iterator[str]:
    """Yield the frames of one exception, its message, and what it is a group of."""
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
    """Return what Python writes under the frames, or name and message where it cannot."""
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
    """Return a text without what UTF-8 cannot say."""
    return text.encode("utf-8", "backslashreplace").decode()
