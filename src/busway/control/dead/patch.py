"""Edit many dead letters through a function of the operator's, with a look at it before."""

from __future__ import annotations

import asyncio
import difflib
import inspect
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from busway.control.dead.edit import edited
from busway.control.dead.letter import place_of
from busway.control.dead.selection import Place, Selection, place_in, select
from busway.errors import BuswayError, EventError
from busway.event import Event, original
from busway.lane import Trouble
from busway.number import exact_decoder
from busway.ports import Ledger
from busway.step import Failed
from busway.step.thread import run_in_thread

CALL_TIMEOUT_S = 5.0
"""How long a patch may take for one event, and its file to be loaded."""
PREVIEW_S = 1.0
"""For how long one look goes on with a slow patch."""
_FEW = 16
_decode = exact_decoder(object)
_sorted = msgspec.json.Encoder(decimal_format="number", order="sorted").encode
_FILE = "<patch>"
_LINE = re.compile(rf'File "{_FILE}", line (\d+)')
_NOTHING = Event(type="busway.patch", source="/busway", id="patch")

Function = Callable[[Event], object]


class Patched(msgspec.Struct, frozen=True):
    """What a patch made of one letter: ``after`` is as it would be, or ``error`` why it cannot."""

    before: Trouble
    after: Trouble
    error: str = ""

    @property
    def effect(self) -> Literal["changed", "unchanged", "failed"]:
        if self.error:
            return "failed"
        return "unchanged" if self.after is self.before else "changed"


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a patch would change of one letter: a unified diff of its event, or why it fails."""

    place: str
    id: str
    effect: Literal["changed", "unchanged", "failed"]
    diff: str = ""
    error: str = ""


class Previews(msgspec.Struct, frozen=True):
    """Some of a selection, patched; ``after`` is where the rest begins."""

    items: Sequence[Preview]
    after: Place | None


async def preview(
    ledger: Ledger,
    selection: Selection,
    source: str,
    after: Place | None,
    limit: int,
    within_s: float = PREVIEW_S,
) -> Previews:
    """Return what a patch would change of up to ``limit`` letters, without changing any.

    They are fewer, one at least, where it is slow: whoever asks for the rest can also leave it.
    """
    function = await load_patch(source)
    found = await select(ledger, selection, after, limit)
    made: list[Patched] = []
    ends_at = time.monotonic() + within_s
    while len(made) < len(found.troubles) and not (made and time.monotonic() >= ends_at):
        first = len(made)
        few = found.troubles[first : first + min(first or 1, _FEW)]
        made += await patched(function, few)
    cut = len(made) < len(found.troubles)
    rest = place_in(made[-1].before) if cut else found.after
    return Previews(await asyncio.to_thread(lambda: [_shown(one) for one in made]), rest)


async def load_patch(source: str) -> Function:
    """Return the function ``patch`` of a Python source.

    It is run in a thread, for at most :data:`CALL_TIMEOUT_S`. Raises :class:`BuswayError` that says
    in which line it fails.
    """
    names: dict[str, Any] = {"__name__": "patch"}

    def load(_: Event) -> None:
        exec(compile(source, _FILE, "exec"), names)  # noqa: S102 - the operator's own code

    (loaded,) = await run_in_thread(load, [_NOTHING], CALL_TIMEOUT_S)
    if isinstance(loaded, Failed):
        raise BuswayError(f"the patch cannot be loaded: {_reason(loaded)}")
    function = names.get("patch")
    if not callable(function):
        raise BuswayError("the patch has no function patch; write: def patch(event): …")
    if inspect.iscoroutinefunction(function):
        raise BuswayError("the patch is async; write a plain function: def patch(event): …")
    found: Function = function
    return found


async def patched(
    function: Function, letters: Sequence[Trouble], timeout_s: float = CALL_TIMEOUT_S
) -> list[Patched]:
    """Return what a patch makes of each letter; it runs in a thread, one letter after the other.

    For one letter it may take ``timeout_s``.
    """
    events = [Event.from_json(one.event, attempt=one.attempts + 1) for one in letters]
    owners = {id(event): letter for event, letter in zip(events, letters, strict=True)}
    changed: dict[int, Trouble] = {}

    def call(event: Event) -> None:
        raw = _changed(event, function(event))
        if raw is not None:
            changed[id(event)] = edited(owners[id(event)], raw)

    made = await run_in_thread(call, events, timeout_s)
    return [
        Patched(letter, letter, _reason(result))
        if isinstance(result, Failed)
        else Patched(letter, changed.get(id(event), letter))
        for event, letter, result in zip(events, letters, made, strict=True)
    ]


def _changed(event: Event, found: object) -> bytes | None:
    """Return the event that a patch returned, or whose data it changed where it stood."""
    if found is event:
        found = event.data
    if found is None:
        return None
    if not isinstance(found, dict | Event):
        kind = type(found).__name__
        raise EventError(f"a patch returns the new data (a dict), an Event, or None, not {kind}")
    raw = (found if isinstance(found, Event) else event.replace(data=found)).to_json()
    return None if _canonical(raw) == _canonical(original(event)) else raw


def _canonical(raw: bytes) -> bytes:
    return _sorted(_decode(raw))


def _shown(one: Patched) -> Preview:
    diff = _diff(one) if one.effect == "changed" else ""
    place, id = place_of(one.before), one.before.event_id
    return Preview(place=place, id=id, effect=one.effect, diff=diff, error=one.error)


def _diff(one: Patched) -> str:
    before, after = (_pretty(letter.event) for letter in (one.before, one.after))
    place = place_of(one.before)
    return "\n".join(difflib.unified_diff(before, after, place, "patched", lineterm=""))


def _pretty(raw: bytes) -> list[str]:
    return msgspec.json.format(raw, indent=2).decode("utf-8", "replace").splitlines()


def _reason(failed: Failed) -> str:
    lines = _LINE.findall(failed.traceback or "")
    where = f" (line {lines[-1]})" if lines else ""
    return f"{failed.error}: {failed.reason}{where}"
