"""Redrive, edit or discard dead letters: a few at once, many as a job."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Raw

from busway.audit_record import AuditRecord
from busway.control.context import ControlContext
from busway.control.dead_letter.dead_letter import place_of
from busway.control.dead_letter.edit import edit_audit
from busway.control.dead_letter.patch import (
    Patch,
    PatchedDeadLetter,
    apply_patch,
    load_patch,
    patch_run_audit,
)
from busway.failed_event import FailedEvent, FailedEventQuery, Resolution
from busway.lane import EventRef, LaneId
from busway.ports import Ledger

DeadLetterAction = Literal["redrive", "patch", "discard"]
"""``redrive`` with a patch edits each dead letter first; ``patch`` edits without a redrive."""

_MAX_FOLLOWERS = 1_000


class DeadLetterCommand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An action on dead letters, its actor and reason; ``patch`` is Python source code."""

    action: DeadLetterAction
    actor: str
    reason: str = ""
    patch: str | None = None


class SkippedDeadLetter(msgspec.Struct, frozen=True):
    """A dead letter that was left unchanged, and why."""

    place: str
    error: str


class ActionResult(msgspec.Struct, frozen=True, kw_only=True):
    """How many dead letters were redriven, edited or discarded (``done``), how many of them a patch
    changed, and which were left unchanged."""

    done: int = 0
    changed: int = 0
    skipped: tuple[SkippedDeadLetter, ...] = ()


class ActionPlan(msgspec.Struct, frozen=True):
    """One transaction: the resolutions of dead letters, and of the parked events that are held back
    because of them."""

    dead_letters: Sequence[PatchedDeadLetter]
    resolutions: Sequence[Resolution]
    held_back: Sequence[Resolution]
    skipped: Sequence[SkippedDeadLetter]

    @property
    def changed(self) -> int:
        return sum(dead_letter.effect == "changed" for dead_letter in self.dead_letters)


async def apply_command(
    control: ControlContext, dead_letters: Sequence[FailedEvent], command: DeadLetterCommand
) -> ActionResult:
    """Redrive, edit or discard dead letters at once."""
    at, patch = control.clock.now(), None
    if command.patch is not None:
        places = [place_of(dead_letter) for dead_letter in dead_letters]
        audit = patch_run_audit(command.patch, at, command.actor, places, command.reason)
        await control.ledger.change_values([], [audit])
        patch = await load_patch(command.patch)
    plan = await plan_command(control.ledger, dead_letters, command, (patch, at))
    audits = command_audits(plan, command, at)
    applied = await control.ledger.resolve([*plan.resolutions, *plan.held_back], audits)
    refused = await audit_refused(control.ledger, plan, applied, command, at)
    if command.action == "redrive":
        control.wake()
    return ActionResult(
        done=len(plan.resolutions) - len(refused),
        changed=plan.changed,
        skipped=(
            *plan.skipped,
            *(SkippedDeadLetter(place, "it was changed in the meantime") for place in refused),
        ),
    )


async def plan_command(
    ledger: Ledger,
    dead_letters: Sequence[FailedEvent],
    command: DeadLetterCommand,
    using: tuple[Patch | None, datetime],
) -> ActionPlan:
    """Return what a command does to dead letters; ``using`` is its loaded patch and the time.

    A redrive resets the attempts and keeps the history of failures. In an ordered flow the first
    parked event of a key is tried first: a redriven event waits for the earlier events of its key,
    and the later ones wait for it.
    """
    patch, at = using
    dead_letters = sorted(dead_letters, key=lambda dead_letter: dead_letter.ref)
    patched = [PatchedDeadLetter(dead_letter, dead_letter) for dead_letter in dead_letters]
    if patch is not None and command.action != "discard":
        patched = await apply_patch(patch, dead_letters)
    skipped = [
        SkippedDeadLetter(place_of(item.before), item.error) for item in patched if item.error
    ]
    selected = [item for item in patched if not item.error]
    if command.action == "patch":
        selected = [item for item in selected if item.effect == "changed"]
    held_back: Sequence[Resolution] = ()
    if command.action == "redrive":
        held_back = await _hold_back_keys(ledger, [item.before for item in selected], at)
    return ActionPlan(
        selected, [_resolution(item, command, at) for item in selected], held_back, skipped
    )


def command_audits(
    plan: ActionPlan, command: DeadLetterCommand, at: datetime, job: str = ""
) -> list[AuditRecord]:
    """Return the audit records: of an edit the event before and after, else a list of places."""
    audits = [
        edit_audit(patched.before, patched.after, at, command.actor, command.reason)
        for patched in plan.dead_letters
        if patched.effect == "changed"
    ]
    if command.action == "patch":
        return audits
    by_flow: defaultdict[str, list[FailedEvent]] = defaultdict(list)
    for patched in plan.dead_letters:
        by_flow[patched.before.flow].append(patched.before)
    for flow, dead_letters in by_flow.items():
        single = len(dead_letters) == 1 and not job
        target = place_of(dead_letters[0]) if single else flow
        images = (_audit_image(dead_letters), _audit_outcome(command, job))
        action = f"dead {command.action}"
        audits.append(
            AuditRecord(at, command.actor, action, f"dead/{target}", *images, command.reason)
        )
    return audits


async def audit_refused(
    ledger: Ledger,
    plan: ActionPlan,
    applied: Sequence[bool],
    command: DeadLetterCommand,
    at: datetime,
) -> list[str]:
    """Return the places of dead letters that were changed concurrently, and add an audit record."""
    results = zip(plan.dead_letters, applied, strict=False)
    refused = [place_of(patched.before) for patched, done in results if not done]
    if refused and any(applied):
        image = Raw(msgspec.json.encode({"places": refused}))
        text = "changed in the meantime, so left unchanged"
        note = AuditRecord(
            at, command.actor, f"dead {command.action} refused", "dead", image, None, text
        )
        await ledger.change_values([], [note])
    return refused


def _resolution(patched: PatchedDeadLetter, command: DeadLetterCommand, at: datetime) -> Resolution:
    before = patched.before
    after: FailedEvent | Literal["discarded"] = patched.after
    if command.action == "discard":
        after = "discarded"
    elif command.action == "redrive":
        after = _as_redriven(patched.after, at)
    return Resolution(
        *before.ref,
        before.attempts,
        before.state,
        after,
        at,
        actor=command.actor,
        reason=command.reason,
        event=before.event if patched.effect == "changed" else None,
    )


def _as_redriven(dead_letter: FailedEvent, at: datetime) -> FailedEvent:
    """Return a dead letter with its attempts reset; the ledger sets ``due`` for a key."""
    due = at if dead_letter.key is None else None
    return msgspec.structs.replace(
        dead_letter, state="parked", since=at, attempts=0, due=due, attempt_started_at=None
    )


async def _hold_back_keys(
    ledger: Ledger, dead_letters: Sequence[FailedEvent], at: datetime
) -> list[Resolution]:
    """Hold back the parked events that are due and come after a redriven event of the same key."""
    first: dict[tuple[LaneId, str], int] = {}
    for dead_letter in dead_letters:
        if dead_letter.key is not None:
            lane_key = (LaneId(dead_letter.flow, dead_letter.partition), dead_letter.key)
            first[lane_key] = min(dead_letter.offset, first.get(lane_key, dead_letter.offset))
    redriven = {dead_letter.ref for dead_letter in dead_letters}
    resolutions: list[Resolution] = []
    for (lane, key), offset in first.items():
        query = FailedEventQuery(
            state="parked",
            flow=lane.flow,
            partition=lane.partition,
            event_key=key,
            after=EventRef(lane.flow, lane.partition, offset),
            limit=_MAX_FOLLOWERS,
        )
        await asyncio.sleep(0)  # one query per key: let other tasks run in between
        later = await ledger.failed_events(query)
        resolutions += _as_waiting((event for event in later if event.ref not in redriven), at)
    return resolutions


def _as_waiting(failed_events: Iterable[FailedEvent], at: datetime) -> list[Resolution]:
    return [
        Resolution(
            *event.ref,
            event.attempts,
            event.state,
            msgspec.structs.replace(event, due=None),
            at,
        )
        for event in failed_events
        if event.due is not None and event.key is not None
    ]


def _audit_image(dead_letters: Sequence[FailedEvent]) -> Raw:
    image: dict[str, object] = {"state": dead_letters[0].state}
    if len(dead_letters) == 1:
        image |= {"attempts": dead_letters[0].attempts, "error": dead_letters[0].error}
    return Raw(
        msgspec.json.encode(
            image | {"places": [place_of(dead_letter) for dead_letter in dead_letters]}
        )
    )


def _audit_outcome(command: DeadLetterCommand, job: str) -> Raw:
    state = "discarded" if command.action == "discard" else "parked"
    return Raw(msgspec.json.encode({"state": state} | ({"job": job} if job else {})))
