"""Give dead letters to their flow again, edit or discard them: few at once, many as a job."""

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
"""``redrive`` with a patch edits each letter first, ``patch`` edits it where it is."""

_MAX_FOLLOWERS = 1_000


class DeadLetterCommand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be done with letters, by whom and why; ``patch`` is a Python source."""

    action: DeadLetterAction
    actor: str
    reason: str = ""
    patch: str | None = None


class SkippedDeadLetter(msgspec.Struct, frozen=True):
    """A letter that was left as it is, and why."""

    place: str
    error: str


class ActionResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: letters redriven, edited or discarded, of them changed by a patch; the rest
    was left as it is."""

    done: int = 0
    changed: int = 0
    skipped: tuple[SkippedDeadLetter, ...] = ()


class ActionPlan(msgspec.Struct, frozen=True):
    """One transaction: a resolution for each letter that something is done with, and for those that
    have to wait because of it."""

    dead_letters: Sequence[PatchedDeadLetter]
    resolutions: Sequence[Resolution]
    held_back: Sequence[Resolution]
    skipped: Sequence[SkippedDeadLetter]

    @property
    def changed(self) -> int:
        return sum(one.effect == "changed" for one in self.dead_letters)


async def apply_command(
    control: ControlContext, dead_letters: Sequence[FailedEvent], command: DeadLetterCommand
) -> ActionResult:
    """Redrive, edit or discard some letters at once."""
    at, patch = control.clock.now(), None
    if command.patch is not None:
        about = [place_of(one) for one in dead_letters]
        audit = patch_run_audit(command.patch, at, command.actor, about, command.reason)
        await control.ledger.change_values([], [audit])
        patch = await load_patch(command.patch)
    made = await plan_command(control.ledger, dead_letters, command, (patch, at))
    trail = command_audits(made, command, at)
    applied = await control.ledger.resolve([*made.resolutions, *made.held_back], trail)
    refused = await audit_refused(control.ledger, made, applied, command, at)
    if command.action == "redrive":
        control.wake()
    return ActionResult(
        done=len(made.resolutions) - len(refused),
        changed=made.changed,
        skipped=(
            *made.skipped,
            *(SkippedDeadLetter(place, "it was changed meanwhile") for place in refused),
        ),
    )


async def plan_command(
    ledger: Ledger,
    dead_letters: Sequence[FailedEvent],
    command: DeadLetterCommand,
    using: tuple[Patch | None, datetime],
) -> ActionPlan:
    """Return what an order means for some letters; ``using`` are its patch, loaded, and the time.

    Of a redrive all attempts are given anew, and what failed before is kept. Of one key of an
    ordered flow the first parked event is tried first: what is redriven waits for those before it,
    and lets those behind it wait.
    """
    patch, at = using
    dead_letters = sorted(dead_letters, key=lambda dead_letter: dead_letter.ref)
    ready = [PatchedDeadLetter(one, one) for one in dead_letters]
    if patch is not None and command.action != "discard":
        ready = await apply_patch(patch, dead_letters)
    left = [SkippedDeadLetter(place_of(one.before), one.error) for one in ready if one.error]
    going = [one for one in ready if not one.error]
    if command.action == "patch":
        going = [one for one in going if one.effect == "changed"]
    others: Sequence[Resolution] = ()
    if command.action == "redrive":
        others = await _hold_back_keys(ledger, [one.before for one in going], at)
    return ActionPlan(going, [_resolution(one, command, at) for one in going], others, left)


def command_audits(
    plan: ActionPlan, command: DeadLetterCommand, at: datetime, job: str = ""
) -> list[AuditRecord]:
    """Return what the trail keeps: of edits each event before and after, else a list of places."""
    found = [
        edit_audit(one.before, one.after, at, command.actor, command.reason)
        for one in plan.dead_letters
        if one.effect == "changed"
    ]
    if command.action == "patch":
        return found
    by_flow: defaultdict[str, list[FailedEvent]] = defaultdict(list)
    for one in plan.dead_letters:
        by_flow[one.before.flow].append(one.before)
    for flow, letters in by_flow.items():
        single = len(letters) == 1 and not job
        target = place_of(letters[0]) if single else flow
        images = (_audit_image(letters), _audit_outcome(command, job))
        action = f"dead {command.action}"
        found.append(
            AuditRecord(at, command.actor, action, f"dead/{target}", *images, command.reason)
        )
    return found


async def audit_refused(
    ledger: Ledger,
    plan: ActionPlan,
    applied: Sequence[bool],
    command: DeadLetterCommand,
    at: datetime,
) -> list[str]:
    """Return the places of letters that somebody else was quicker with; the trail says so too."""
    results = zip(plan.dead_letters, applied, strict=False)
    refused = [place_of(one.before) for one, done in results if not done]
    if refused and any(applied):
        image = Raw(msgspec.json.encode({"places": refused}))
        text = "changed meanwhile, so left as they are"
        note = AuditRecord(
            at, command.actor, f"dead {command.action} refused", "dead", image, None, text
        )
        await ledger.change_values([], [note])
    return refused


def _resolution(one: PatchedDeadLetter, command: DeadLetterCommand, at: datetime) -> Resolution:
    before = one.before
    became: FailedEvent | Literal["discarded"] = one.after
    if command.action == "discard":
        became = "discarded"
    elif command.action == "redrive":
        became = _as_redriven(one.after, at)
    return Resolution(
        *before.ref,
        before.attempts,
        before.state,
        became,
        at,
        actor=command.actor,
        reason=command.reason,
        event=before.event if one.effect == "changed" else None,
    )


def _as_redriven(dead_letter: FailedEvent, at: datetime) -> FailedEvent:
    """Return a letter with all attempts anew; with a key the ledger says when it is its turn."""
    due = at if dead_letter.key is None else None
    return msgspec.structs.replace(
        dead_letter, state="parked", since=at, attempts=0, due=due, attempt_started_at=None
    )


async def _hold_back_keys(
    ledger: Ledger, dead_letters: Sequence[FailedEvent], at: datetime
) -> list[Resolution]:
    """Return what lets parked events wait that are due but come after a redriven one of a key."""
    first: dict[tuple[LaneId, str], int] = {}
    for one in dead_letters:
        if one.key is not None:
            lane_key = (LaneId(one.flow, one.partition), one.key)
            first[lane_key] = min(one.offset, first.get(lane_key, one.offset))
    known = {one.ref for one in dead_letters}
    found: list[Resolution] = []
    for (lane, key), offset in first.items():
        query = FailedEventQuery(
            state="parked",
            flow=lane.flow,
            partition=lane.partition,
            event_key=key,
            after=EventRef(lane.flow, lane.partition, offset),
            limit=_MAX_FOLLOWERS,
        )
        await asyncio.sleep(0)  # one question a key: others may run between two
        behind = await ledger.failed_events(query)
        found += _as_waiting((one for one in behind if one.ref not in known), at)
    return found


def _as_waiting(failed_events: Iterable[FailedEvent], at: datetime) -> list[Resolution]:
    return [
        Resolution(
            *one.ref,
            one.attempts,
            one.state,
            msgspec.structs.replace(one, due=None),
            at,
        )
        for one in failed_events
        if one.due is not None and one.key is not None
    ]


def _audit_image(dead_letters: Sequence[FailedEvent]) -> Raw:
    found: dict[str, object] = {"state": dead_letters[0].state}
    if len(dead_letters) == 1:
        found |= {"attempts": dead_letters[0].attempts, "error": dead_letters[0].error}
    return Raw(msgspec.json.encode(found | {"places": [place_of(one) for one in dead_letters]}))


def _audit_outcome(command: DeadLetterCommand, job: str) -> Raw:
    state = "discarded" if command.action == "discard" else "parked"
    return Raw(msgspec.json.encode({"state": state} | ({"job": job} if job else {})))
