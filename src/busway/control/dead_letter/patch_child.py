"""The process that runs a patch: it reads events from standard input and writes the results.

:mod:`busway.control.dead_letter.patch_process` starts it without the server's environment and
files. Messages are MessagePack, each preceded by its length in four bytes.
"""

from __future__ import annotations

import inspect
import os
import re
import struct
from collections.abc import Callable
from typing import Any

import msgspec

from busway.control.dead_letter.patch_limits import limit
from busway.errors import EventError
from busway.event import Event
from busway.json_number import exact_decoder
from busway.step import StepFailure
from busway.step.result import step_failure

LENGTH = struct.Struct(">I")
_decode: Callable[[bytes], object] = exact_decoder(object)
_sorted = msgspec.json.Encoder(decimal_format="number", order="sorted").encode
_FILE = "<patch>"
_LINE = re.compile(rf'File "{_FILE}", line (\d+)')


class PatchTask(msgspec.Struct, frozen=True, array_like=True):
    """An event for the patch."""

    event: bytes
    attempt: int


class PatchReply(msgspec.Struct, frozen=True, array_like=True):
    """The result of a patch: the new bytes of the event (``None`` if unchanged), or an error."""

    event: bytes | None = None
    error: str = ""


class PatchRefused(Exception):
    """The patch is not usable."""


def main() -> None:
    """Serve one patch until there are no more events."""
    source, out = _read(0).decode(), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    limit()
    _write(out, PatchReply())
    function = None
    try:
        function = _load(source)
        _write(out, PatchReply())
    except PatchRefused as error:
        _write(out, PatchReply(error=str(error)))
    except BaseException as error:
        _write(out, PatchReply(error=f"the patch cannot be loaded: {_reason(step_failure(error))}"))
    while function is not None:
        raw = _read(0)
        if not raw:
            break
        _write(out, _reply(function, msgspec.msgpack.decode(raw, type=PatchTask)))


def _load(source: str) -> Callable[[Event], object]:
    names: dict[str, Any] = {"__name__": "patch"}
    exec(compile(source, _FILE, "exec"), names)  # noqa: S102 - the purpose of this process
    function = names.get("patch")
    if not callable(function):
        raise PatchRefused("the patch has no function patch; write: def patch(event): …")
    if inspect.iscoroutinefunction(function):
        raise PatchRefused("the patch is async; write a plain function: def patch(event): …")
    patch: Callable[[Event], object] = function
    return patch


def _reply(function: Callable[[Event], object], task: PatchTask) -> PatchReply:
    event = Event.from_json(task.event, attempt=task.attempt)
    try:
        return PatchReply(_changed_event(event, function(event), task.event))
    except BaseException as error:
        return PatchReply(error=_reason(step_failure(error)))


def _changed_event(event: Event, result: object, before: bytes) -> bytes | None:
    """Return the event that a patch returned or changed in place, ``None`` if it is unchanged."""
    if result is event:
        result = event.data
    if result is None:
        return None
    if not isinstance(result, dict | Event):
        kind = type(result).__name__
        raise EventError(f"a patch returns the new data (a dict), an Event, or None, not {kind}")
    raw = (result if isinstance(result, Event) else event.replace(data=result)).to_json()
    return None if _canonical(raw) == _canonical(before) else raw


def _canonical(raw: bytes) -> bytes:
    return _sorted(_decode(raw))


def _reason(failure: StepFailure) -> str:
    lines = _LINE.findall(failure.traceback or "")
    where = f" (line {lines[-1]})" if lines else ""
    return f"{failure.error}: {failure.reason}{where}"


def _read(file: int) -> bytes:
    head = _read_exactly(file, LENGTH.size)
    return _read_exactly(file, LENGTH.unpack(head)[0]) if head else b""


def _read_exactly(file: int, count: int) -> bytes:
    content = b""
    while len(content) < count:
        chunk = os.read(file, count - len(content))
        if not chunk:
            return b""
        content += chunk
    return content


def _write(file: int, reply: PatchReply) -> None:
    body = msgspec.msgpack.encode(reply)
    rest = memoryview(LENGTH.pack(len(body)) + body)
    while rest:
        rest = rest[os.write(file, rest) :]
