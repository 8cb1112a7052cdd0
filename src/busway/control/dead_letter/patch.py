"""Edit many dead letters with a function written by the operator, with a preview."""

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
"""The time-out of a patch for one event, and for loading it."""
PREVIEW_TIMEOUT_S = 1.0
"""The time after which a preview with a slow patch ends."""
TOTAL_TIMEOUT_S = 60.0
"""The time-out of a patch for all dead letters of one call."""
MAX_CHARACTERS = 64 * 1024
_PREVIEW_BATCH = 16
_MAX_ERROR_CHARACTERS = 4_000


class Patch(msgspec.Struct, frozen=True):
    """Python source code with ``def patch(event)`` that was loaded successfully."""

    source: str


class PatchedDeadLetter(msgspec.Struct, frozen=True):
    """A dead letter before and after a patch, or the ``error`` of the patch."""

    before: FailedEvent
    after: FailedEvent
    error: str = ""

    @property
    def effect(self) -> Literal["changed", "unchanged", "failed"]:
        if self.error:
            return "failed"
        return "unchanged" if self.after is self.before else "changed"


class PatchPreview(msgspec.Struct, frozen=True, kw_only=True):
    """The effect of a patch on one dead letter: a unified diff of its event, or its error."""

    place: str
    id: str
    effect: Literal["changed", "unchanged", "failed"]
    diff: str = ""
    error: str = ""


class PatchPreviewPage(msgspec.Struct, frozen=True):
    """The previews of a part of a selection; the rest begins behind ``after``."""

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
    """Return the effect of a patch on up to ``limit`` dead letters, without changing any.

    A slow patch yields fewer previews, but at least one; the caller may ask for the rest.
    """
    patch = await load_patch(source)
    page = await select_dead_letters(ledger, selection, after, limit)
    patched: list[PatchedDeadLetter] = []
    ends_at = time.monotonic() + within_s
    while len(patched) < len(page.failed_events) and not (patched and time.monotonic() >= ends_at):
        first = len(patched)
        batch = page.failed_events[first : first + min(first or 1, _PREVIEW_BATCH)]
        patched += await apply_patch(patch, batch)
    cut = len(patched) < len(page.failed_events)
    rest = patched[-1].before.ref if cut else page.after
    return PatchPreviewPage(
        await asyncio.to_thread(lambda: [_as_preview(item) for item in patched]), rest
    )


async def load_patch(source: str) -> Patch:
    """Load a patch in a process of its own, to check it.

    Raises :class:`BuswayError` with the line that fails.
    """
    if len(source) > MAX_CHARACTERS:
        raise BuswayError(
            f"the patch has {len(source):,} characters; at most {MAX_CHARACTERS:,} are allowed"
        )
    async with run_patch_process(source, CALL_TIMEOUT_S):
        return Patch(source)


async def apply_patch(
    patch: Patch, dead_letters: Sequence[FailedEvent], timeout_s: float = CALL_TIMEOUT_S
) -> list[PatchedDeadLetter]:
    """Apply a patch to each dead letter in order, in a process of its own.

    It may take ``timeout_s`` for one dead letter, :data:`TOTAL_TIMEOUT_S` for all of them. If the
    process ends at a dead letter, another process continues with the rest.
    """
    patched: list[PatchedDeadLetter] = []
    ends_at = time.monotonic() + max(TOTAL_TIMEOUT_S, timeout_s)
    while len(patched) < len(dead_letters) and time.monotonic() < ends_at:
        async with run_patch_process(patch.source, CALL_TIMEOUT_S) as process:
            patched += await _ask_process(process, dead_letters[len(patched) :], timeout_s, ends_at)
    late = f"not patched: the patch took over {TOTAL_TIMEOUT_S:g} s for the dead letters before it"
    return patched + [
        PatchedDeadLetter(dead_letter, dead_letter, late)
        for dead_letter in dead_letters[len(patched) :]
    ]


async def _ask_process(
    process: PatchProcess, dead_letters: Sequence[FailedEvent], timeout_s: float, ends_at: float
) -> list[PatchedDeadLetter]:
    """Patch dead letters until one of them ends the process or the time is up."""
    patched: list[PatchedDeadLetter] = []
    for dead_letter in dead_letters:
        if time.monotonic() >= ends_at:
            break
        try:
            reply = await process.ask(dead_letter.event, dead_letter.attempts + 1, timeout_s)
        except PatchProcessEnded as error:
            return [*patched, PatchedDeadLetter(dead_letter, dead_letter, str(error))]
        patched.append(await asyncio.to_thread(_patched, dead_letter, reply))
    return patched


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
    """Return the audit record of a patch run: its actor, its code, and the selection."""
    code = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
    image = {"code": source, "sha256": code, "about": about}
    return AuditRecord(at, actor, "patch run", f"patch/{code[:12]}", None, _encode(image), reason)


def _encode(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))


def _as_preview(patched: PatchedDeadLetter) -> PatchPreview:
    diff = _diff(patched) if patched.effect == "changed" else ""
    place, id = place_of(patched.before), patched.before.event_id
    return PatchPreview(place=place, id=id, effect=patched.effect, diff=diff, error=patched.error)


def _diff(patched: PatchedDeadLetter) -> str:
    before, after = (_pretty(event.event) for event in (patched.before, patched.after))
    place = place_of(patched.before)
    return "\n".join(difflib.unified_diff(before, after, place, "patched", lineterm=""))


def _pretty(raw: bytes) -> list[str]:
    return msgspec.json.format(raw, indent=2).decode("utf-8", "replace").splitlines()
