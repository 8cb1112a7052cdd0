"""``busway replay``: give events of the log to a flow again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from busway.control.field import argument
from busway.control.operation import Command, CommandGroup, OperationContext, http, operation
from busway.control.page import Page, PageRequest, page_after
from busway.control.replay import count as control_count
from busway.control.replay import operation as control_replay
from busway.control.replay.count import ReplayCount
from busway.control.replay.operation import Replay, ReplayRequest
from busway.delivery.replay import ReplaySelection

GROUP = CommandGroup(
    "replay",
    "Give events of the log to a flow again.",
    "busway replay start orders --from 2h --dry-run",
)
_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_REQUEST = ReplayRequest(flow="orders", select=ReplaySelection(since=_AT), rate="500/s")
_REPLAY = Replay(
    id="r7c01e5a9",
    flow="orders",
    state="running",
    actor="ann@shop",
    created_at=_AT,
    changed_at=_AT,
    request=_REQUEST,
    total=120_000,
    done=40_000,
    delivered=1_500,
    skipped=36_000,
    filtered=2_500,
    remaining_s=95.0,
)
_COUNTED = ReplayCount(
    flow="orders", total=120_000, selected=110_000, already_delivered=105_000, to_replay=5_000
)


class ReplayId(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which replay is meant."""

    id: Annotated[str, argument("The replay.")]


_ID = ReplayId(id=_REPLAY.id)


@operation(
    http("GET", "/replays", tag="replays", may_miss=True),
    command="replay list",
    summary="List replays",
    result=Page([_REPLAY]),
)
async def list_replays(context: OperationContext, request: PageRequest) -> Page[Replay]:
    """List the replays, the latest first, each with its progress."""
    found = await control_replay.replays(context.control)
    return page_after(found, request, _key, tuple[datetime, str], descending=True)


@operation(
    http("POST", "/replays", tag="replays", status=201, may_miss=True),
    command=Command("replay start", example="orders --from 2h --dry-run"),
    summary="Start a replay",
    request=_REQUEST,
    result=_REPLAY,
)
async def start_replay(context: OperationContext, request: ReplayRequest) -> Replay:
    """Start a replay of what the flow has passed until now.

    What has been delivered already is skipped, unless `force` is given. With `--follow` the exit
    code of the command is 1 if the replay failed.
    """
    return await control_replay.begin_replay(context.control, request, context.actor)


@operation(
    http("POST", "/replays/count", tag="replays", may_miss=True, slow=True),
    summary="Count what a replay would do",
    request=_REQUEST,
    result=_COUNTED,
)
async def count_replay(context: OperationContext, request: ReplayRequest) -> ReplayCount:
    """Return how many events a replay would select, and how many of those are delivered already.

    It reads every event in reach, which takes a while in a large log, and changes nothing.
    """
    return await control_count.count_replay(context.control, request)


@operation(
    http("GET", "/replays/{id}", tag="replays"),
    command="replay show",
    summary="Show a replay",
    request=_ID,
    result=_REPLAY,
)
async def show_replay(context: OperationContext, request: ReplayId) -> Replay:
    """Show a replay: its progress, and what became of its events."""
    return await control_replay.replay(context.control, request.id)


@operation(
    http("POST", "/replays/{id}/stop", tag="replays"),
    command="replay stop",
    summary="Stop a replay",
    request=_ID,
    result=_REPLAY,
)
async def stop_replay(context: OperationContext, request: ReplayId) -> Replay:
    """Stop a replay where it is; it can be resumed later."""
    return await control_replay.stop_replay(context.control, request.id, context.actor)


@operation(
    http("POST", "/replays/{id}/resume", tag="replays"),
    command="replay resume",
    summary="Resume a replay",
    request=_ID,
    result=_REPLAY,
)
async def resume_replay(context: OperationContext, request: ReplayId) -> Replay:
    """Resume a stopped or failed replay where it is."""
    return await control_replay.resume_replay(context.control, request.id, context.actor)


@operation(
    http("DELETE", "/replays/{id}", tag="replays", status=204),
    command="replay forget",
    summary="Forget a replay",
    request=_ID,
)
async def forget_replay(context: OperationContext, request: ReplayId) -> None:
    """Forget a replay that does not run and has no parked events or dead letters left."""
    await control_replay.forget_replay(context.control, request.id, context.actor)


def _key(replay: Replay) -> tuple[datetime, str]:
    return (replay.created_at, replay.id)
