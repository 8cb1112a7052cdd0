"""Give dead letters to their flow again, edit or discard them: few at once, many as a job."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Raw

from busway.control.control import Control
from busway.control.dead.edit import edit_audit
from busway.control.dead.letter import place_of
from busway.control.dead.patch import Patch, Patched, load_patch, patched, run_audit
from busway.control.dead.selection import place_in
from busway.lane import Audit, Query, Trouble, Verdict
from busway.ports import Ledger

Action = Literal["redrive", "patch", "discard"]
"""``redrive`` with a patch edits each letter first, ``patch`` edits it where it is."""

_FOLLOWERS = 1_000


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be done with letters, by whom and why; ``patch`` is a Python source."""

    action: Action
    who: str
    reason: str = ""
    patch: str | None = None


class Refusal(msgspec.Struct, frozen=True):
    """A letter that was left as it is, and why."""

    place: str
    error: str


class Dealt(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: letters redriven, edited or discarded, of them changed by a patch; the rest
    was left as it is."""

    done: int = 0
    changed: int = 0
    left: tuple[Refusal, ...] = ()


class Decision(msgspec.Struct, frozen=True):
    """One transaction: a verdict for each letter that something is done with, and for those that
    have to wait because of it."""

    letters: Sequence[Patched]
    verdicts: Sequence[Verdict]
    others: Sequence[Verdict]
    left: Sequence[Refusal]

    @property
    def changed(self) -> int:
        return sum(one.effect == "changed" for one in self.letters)


async def deal(control: Control, letters: Sequence[Trouble], order: Order) -> Dealt:
    """Redrive, edit or discard some letters at once."""
    at, patch = control.clock.now(), None
    if order.patch is not None:
        about = [place_of(one) for one in letters]
        audit = run_audit(order.patch, at, order.who, about, order.reason)
        await control.ledger.change([], [audit])
        patch = await load_patch(order.patch)
    made = await decide(control.ledger, letters, order, (patch, at))
    trail = audits(made, order, at)
    applied = await control.ledger.judge([*made.verdicts, *made.others], trail)
    refused = await note_refused(control.ledger, made, applied, order, at)
    if order.action == "redrive":
        control.wake()
    return Dealt(
        done=len(made.verdicts) - len(refused),
        changed=made.changed,
        left=(*made.left, *(Refusal(place, "it was changed meanwhile") for place in refused)),
    )


async def decide(
    ledger: Ledger,
    letters: Sequence[Trouble],
    order: Order,
    using: tuple[Patch | None, datetime],
) -> Decision:
    """Return what an order means for some letters; ``using`` are its patch, loaded, and the time.

    Of a redrive all attempts are given anew, and what failed before is kept. Of one key of an
    ordered flow the first parked event is tried first: what is redriven waits for those before it,
    and lets those behind it wait.
    """
    patch, at = using
    letters = sorted(letters, key=place_in)
    ready = [Patched(one, one) for one in letters]
    if patch is not None and order.action != "discard":
        ready = await patched(patch, letters)
    left = [Refusal(place_of(one.before), one.error) for one in ready if one.error]
    going = [one for one in ready if not one.error]
    if order.action == "patch":
        going = [one for one in going if one.effect == "changed"]
    others: Sequence[Verdict] = ()
    if order.action == "redrive":
        others = await _held_back(ledger, [one.before for one in going], at)
    return Decision(going, [_verdict(one, order, at) for one in going], others, left)


def audits(made: Decision, order: Order, at: datetime, job: str = "") -> list[Audit]:
    """Return what the trail keeps: of edits each event before and after, else a list of places."""
    found = [
        edit_audit(one.before, one.after, at, order.who, order.reason)
        for one in made.letters
        if one.effect == "changed"
    ]
    if order.action == "patch":
        return found
    by_flow: defaultdict[str, list[Trouble]] = defaultdict(list)
    for one in made.letters:
        by_flow[one.before.flow].append(one.before)
    for flow, letters in by_flow.items():
        single = len(letters) == 1 and not job
        target = place_of(letters[0]) if single else flow
        images = (_image(letters), _outcome(order, job))
        action = f"dead {order.action}"
        found.append(Audit(at, order.who, action, f"dead/{target}", *images, order.reason))
    return found


async def note_refused(
    ledger: Ledger, made: Decision, applied: Sequence[bool], order: Order, at: datetime
) -> list[str]:
    """Return the places of letters that somebody else was quicker with; the trail says so too."""
    results = zip(made.letters, applied, strict=False)
    refused = [place_of(one.before) for one, done in results if not done]
    if refused and any(applied):
        image = Raw(msgspec.json.encode({"places": refused}))
        text = "changed meanwhile, so left as they are"
        note = Audit(at, order.who, f"dead {order.action} refused", "dead", image, None, text)
        await ledger.change([], [note])
    return refused


def _verdict(one: Patched, order: Order, at: datetime) -> Verdict:
    before = one.before
    became: Trouble | Literal["discarded"] = one.after
    if order.action == "discard":
        became = "discarded"
    elif order.action == "redrive":
        became = _redriven(one.after, at)
    return Verdict(
        *place_in(before),
        before.attempts,
        before.state,
        became,
        at,
        who=order.who,
        reason=order.reason,
        event=before.event if one.effect == "changed" else None,
    )


def _redriven(letter: Trouble, at: datetime) -> Trouble:
    """Return a letter with all attempts anew; with a key the ledger says when it is its turn."""
    due = at if letter.key is None else None
    return msgspec.structs.replace(
        letter, state="parked", since=at, attempts=0, due=due, begun_at=None
    )


async def _held_back(ledger: Ledger, letters: Sequence[Trouble], at: datetime) -> list[Verdict]:
    """Return what lets parked events wait that are due but come after a redriven one of a key."""
    first: dict[tuple[str, int, str], int] = {}
    for one in letters:
        if one.key is not None:
            lane = (one.flow, one.partition, one.key)
            first[lane] = min(one.offset, first.get(lane, one.offset))
    known = {place_in(one) for one in letters}
    found: list[Verdict] = []
    for (flow, partition, key), offset in first.items():
        query = Query(
            state="parked",
            flow=flow,
            partition=partition,
            event_key=key,
            after=(flow, partition, offset),
            limit=_FOLLOWERS,
        )
        await asyncio.sleep(0)  # one question a key: others may run between two
        behind = await ledger.troubles(query)
        found += _waiting((one for one in behind if place_in(one) not in known), at)
    return found


def _waiting(troubles: Iterable[Trouble], at: datetime) -> list[Verdict]:
    return [
        Verdict(
            *place_in(one),
            one.attempts,
            one.state,
            msgspec.structs.replace(one, due=None),
            at,
        )
        for one in troubles
        if one.due is not None and one.key is not None
    ]


def _image(letters: Sequence[Trouble]) -> Raw:
    found: dict[str, object] = {"state": letters[0].state}
    if len(letters) == 1:
        found |= {"attempts": letters[0].attempts, "error": letters[0].error}
    return Raw(msgspec.json.encode(found | {"places": [place_of(one) for one in letters]}))


def _outcome(order: Order, job: str) -> Raw:
    state = "discarded" if order.action == "discard" else "parked"
    return Raw(msgspec.json.encode({"state": state} | ({"job": job} if job else {})))
