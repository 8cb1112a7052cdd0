"""Edit many dead letters through a function of the operator's, with a look at it before."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Raw

from busway.control.dead.edit import edited
from busway.control.dead.letter import place_of
from busway.control.dead.patch_child import Reply
from busway.control.dead.patch_process import Ended, PatchProcess, running
from busway.control.dead.selection import Place, Selection, place_in, select
from busway.errors import BuswayError
from busway.lane import Audit, Trouble
from busway.ports import Ledger

CALL_TIMEOUT_S = 5.0
"""How long a patch may take for one event, and its file to be loaded."""
PREVIEW_S = 1.0
"""For how long one look goes on with a slow patch."""
TOTAL_S = 60.0
"""How long a patch may take for all letters that are done at once."""
MOST_CHARACTERS = 64 * 1024
_FEW = 16
_LONGEST_ERROR = 4_000


class Patch(msgspec.Struct, frozen=True):
    """A Python source with ``def patch(event)``, which can be loaded."""

    source: str


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
    patch = await load_patch(source)
    found = await select(ledger, selection, after, limit)
    made: list[Patched] = []
    ends_at = time.monotonic() + within_s
    while len(made) < len(found.troubles) and not (made and time.monotonic() >= ends_at):
        first = len(made)
        few = found.troubles[first : first + min(first or 1, _FEW)]
        made += await patched(patch, few)
    cut = len(made) < len(found.troubles)
    rest = place_in(made[-1].before) if cut else found.after
    return Previews(await asyncio.to_thread(lambda: [_shown(one) for one in made]), rest)


async def load_patch(source: str) -> Patch:
    """Return a patch that can be loaded; it is tried in a process of its own.

    Raises :class:`BuswayError` that says in which line it fails.
    """
    if len(source) > MOST_CHARACTERS:
        raise BuswayError(
            f"the patch has {len(source):,} characters; at most {MOST_CHARACTERS:,} are taken"
        )
    async with running(source, CALL_TIMEOUT_S):
        return Patch(source)


async def patched(
    patch: Patch, letters: Sequence[Trouble], timeout_s: float = CALL_TIMEOUT_S
) -> list[Patched]:
    """Return what a patch makes of each letter, in a process of its own, one after the other.

    For one letter it may take ``timeout_s``, for all of them :data:`TOTAL_S`. When its process ends
    at a letter, the others have another one.
    """
    made: list[Patched] = []
    ends_at = time.monotonic() + max(TOTAL_S, timeout_s)
    while len(made) < len(letters) and time.monotonic() < ends_at:
        async with running(patch.source, CALL_TIMEOUT_S) as process:
            made += await _asked(process, letters[len(made) :], timeout_s, ends_at)
    late = f"it was not tried: the patch took over {TOTAL_S:g} s for the letters before it"
    return made + [Patched(one, one, late) for one in letters[len(made) :]]


async def _asked(
    process: PatchProcess, letters: Sequence[Trouble], timeout_s: float, ends_at: float
) -> list[Patched]:
    """Ask until one ends the process, or there is no time any more."""
    made: list[Patched] = []
    for letter in letters:
        if time.monotonic() >= ends_at:
            break
        try:
            reply = await process.ask(letter.event, letter.attempts + 1, timeout_s)
        except Ended as error:
            return [*made, Patched(letter, letter, str(error))]
        made.append(await asyncio.to_thread(_applied, letter, reply))
    return made


def _applied(letter: Trouble, reply: Reply) -> Patched:
    if reply.error or reply.event is None:
        return Patched(letter, letter, reply.error[:_LONGEST_ERROR])
    try:
        return Patched(letter, edited(letter, reply.event))
    except (BuswayError, ValueError, RecursionError) as error:
        return Patched(letter, letter, f"{type(error).__name__}: {error}"[:_LONGEST_ERROR])


def run_audit(source: str, at: datetime, who: str, about: object, reason: str = "") -> Audit:
    """Return what the trail keeps before a patch is run: who, the code, and on what."""
    code = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
    image = {"code": source, "sha256": code, "about": about}
    return Audit(at, who, "patch run", f"patch/{code[:12]}", None, _raw(image), reason)


def _raw(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))


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
