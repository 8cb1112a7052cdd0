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

from busway.audit_record import AuditRecord
from busway.control.dead_letter.dead_letter import place_of
from busway.control.dead_letter.edit import apply_edit
from busway.control.dead_letter.patch_child import PatchReply
from busway.control.dead_letter.patch_process import (
    PatchProcess,
    PatchProcessEnded,
    run_patch_process,
)
from busway.control.dead_letter.selection import (
    DeadLetterSelection,
    select_dead_letters,
)
from busway.errors import BuswayError
from busway.failed_event import FailedEvent
from busway.lane import EventRef
from busway.ports import Ledger

CALL_TIMEOUT_S = 5.0
"""How long a patch may take for one event, and its file to be loaded."""
PREVIEW_TIMEOUT_S = 1.0
"""For how long one look goes on with a slow patch."""
TOTAL_TIMEOUT_S = 60.0
"""How long a patch may take for all letters that are done at once."""
MAX_CHARACTERS = 64 * 1024
_PREVIEW_BATCH = 16
_MAX_ERROR_CHARACTERS = 4_000


class Patch(msgspec.Struct, frozen=True):
    """A Python source with ``def patch(event)``, which can be loaded."""

    source: str


class PatchedDeadLetter(msgspec.Struct, frozen=True):
    """What a patch made of one letter: ``after`` is as it would be, or ``error`` why it cannot."""

    before: FailedEvent
    after: FailedEvent
    error: str = ""

    @property
    def effect(self) -> Literal["changed", "unchanged", "failed"]:
        if self.error:
            return "failed"
        return "unchanged" if self.after is self.before else "changed"


class PatchPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What a patch would change of one letter: a unified diff of its event, or why it fails."""

    place: str
    id: str
    effect: Literal["changed", "unchanged", "failed"]
    diff: str = ""
    error: str = ""


class PatchPreviewPage(msgspec.Struct, frozen=True):
    """Some of a selection, patched; ``after`` is where the rest begins."""

    items: Sequence[PatchPreview]
    after: EventRef | None


async def patch_previews(
    ledger: Ledger,
    selection: DeadLetterSelection,
    source: str,
    after: EventRef | None,
    limit: int,
    within_s: float = PREVIEW_TIMEOUT_S,
) -> PatchPreviewPage:
    """Return what a patch would change of up to ``limit`` letters, without changing any.

    They are fewer, one at least, where it is slow: whoever asks for the rest can also leave it.
    """
    patch = await load_patch(source)
    found = await select_dead_letters(ledger, selection, after, limit)
    made: list[PatchedDeadLetter] = []
    ends_at = time.monotonic() + within_s
    while len(made) < len(found.failed_events) and not (made and time.monotonic() >= ends_at):
        first = len(made)
        few = found.failed_events[first : first + min(first or 1, _PREVIEW_BATCH)]
        made += await apply_patch(patch, few)
    cut = len(made) < len(found.failed_events)
    rest = made[-1].before.ref if cut else found.after
    return PatchPreviewPage(
        await asyncio.to_thread(lambda: [_as_preview(one) for one in made]), rest
    )


async def load_patch(source: str) -> Patch:
    """Return a patch that can be loaded; it is tried in a process of its own.

    Raises :class:`BuswayError` that says in which line it fails.
    """
    if len(source) > MAX_CHARACTERS:
        raise BuswayError(
            f"the patch has {len(source):,} characters; at most {MAX_CHARACTERS:,} are taken"
        )
    async with run_patch_process(source, CALL_TIMEOUT_S):
        return Patch(source)


async def apply_patch(
    patch: Patch, dead_letters: Sequence[FailedEvent], timeout_s: float = CALL_TIMEOUT_S
) -> list[PatchedDeadLetter]:
    """Return what a patch makes of each letter, in a process of its own, one after the other.

    For one letter it may take ``timeout_s``, for all of them
    :data:`TOTAL_TIMEOUT_S`. When its process ends at a letter, the others have another one.
    """
    made: list[PatchedDeadLetter] = []
    ends_at = time.monotonic() + max(TOTAL_TIMEOUT_S, timeout_s)
    while len(made) < len(dead_letters) and time.monotonic() < ends_at:
        async with run_patch_process(patch.source, CALL_TIMEOUT_S) as process:
            made += await _ask_process(process, dead_letters[len(made) :], timeout_s, ends_at)
    late = f"it was not tried: the patch took over {TOTAL_TIMEOUT_S:g} s for the letters before it"
    return made + [PatchedDeadLetter(one, one, late) for one in dead_letters[len(made) :]]


async def _ask_process(
    process: PatchProcess, dead_letters: Sequence[FailedEvent], timeout_s: float, ends_at: float
) -> list[PatchedDeadLetter]:
    """Ask until one ends the process, or there is no time any more."""
    made: list[PatchedDeadLetter] = []
    for letter in dead_letters:
        if time.monotonic() >= ends_at:
            break
        try:
            reply = await process.ask(letter.event, letter.attempts + 1, timeout_s)
        except PatchProcessEnded as error:
            return [*made, PatchedDeadLetter(letter, letter, str(error))]
        made.append(await asyncio.to_thread(_patched, letter, reply))
    return made


def _patched(dead_letter: FailedEvent, reply: PatchReply) -> PatchedDeadLetter:
    if reply.error or reply.event is None:
        return PatchedDeadLetter(dead_letter, dead_letter, reply.error[:_MAX_ERROR_CHARACTERS])
    try:
        return PatchedDeadLetter(dead_letter, apply_edit(dead_letter, reply.event))
    except (BuswayError, ValueError, RecursionError) as error:
        return PatchedDeadLetter(
            dead_letter, dead_letter, f"{type(error).__name__}: {error}"[:_MAX_ERROR_CHARACTERS]
        )


def patch_run_audit(
    source: str, at: datetime, actor: str, about: object, reason: str = ""
) -> AuditRecord:
    """Return what the trail keeps before a patch is run: who, the code, and on what."""
    code = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
    image = {"code": source, "sha256": code, "about": about}
    return AuditRecord(at, actor, "patch run", f"patch/{code[:12]}", None, _encode(image), reason)


def _encode(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))


def _as_preview(one: PatchedDeadLetter) -> PatchPreview:
    diff = _diff(one) if one.effect == "changed" else ""
    place, id = place_of(one.before), one.before.event_id
    return PatchPreview(place=place, id=id, effect=one.effect, diff=diff, error=one.error)


def _diff(one: PatchedDeadLetter) -> str:
    before, after = (_pretty(letter.event) for letter in (one.before, one.after))
    place = place_of(one.before)
    return "\n".join(difflib.unified_diff(before, after, place, "patched", lineterm=""))


def _pretty(raw: bytes) -> list[str]:
    return msgspec.json.format(raw, indent=2).decode("utf-8", "replace").splitlines()
