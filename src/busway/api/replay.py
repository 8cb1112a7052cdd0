"""``/replays``: give events of the log to a flow again."""

from __future__ import annotations

from datetime import UTC, datetime

from litestar import Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from busway.api.openapi import NAMES, example
from busway.api.page import Cursor, Limit
from busway.control.context import ControlContext
from busway.control.page import Page, page_of, place_in
from busway.control.replay import operation as control_replay
from busway.control.replay.count import ReplayCount
from busway.control.replay.count import count_replay as counted
from busway.control.replay.operation import Replay, ReplayRequest
from busway.delivery.replay import ReplaySelection

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


@get("/", summary="List replays", opt=example(Page([_REPLAY])))
async def list_replays(
    control: NamedDependency[ControlContext], limit: Limit = 100, cursor: Cursor = None
) -> Page[Replay]:
    """Return the replays, the latest first, each with how far it is."""
    before = place_in(cursor, tuple[datetime, str]) if cursor else None
    found = [
        one
        for one in await control_replay.replays(control)
        if before is None or _place(one) < before
    ]
    return page_of(found[: limit + 1], limit, _place)


@post("/", summary="Begin a replay", opt=example(_REPLAY, _REQUEST))
async def begin_replay(
    control: NamedDependency[ControlContext],
    data: JSONBody[ReplayRequest],
    who: NamedDependency[str],
) -> Replay:
    """Begin a replay; what it passes is fixed from now on: what the flow has passed until now."""
    return await control_replay.begin_replay(control, data, who)


@post(
    "/count",
    summary="Count what a replay would do",
    status_code=200,
    opt=example(_COUNTED, _REQUEST),
)
async def count_replay(
    control: NamedDependency[ControlContext], data: JSONBody[ReplayRequest]
) -> ReplayCount:
    """Return how many events it would select, and how many of those have landed already.

    It looks at every event in reach, which takes a while in a large log, and changes nothing.
    """
    return await counted(control, data)


@get("/{id:str}", summary="Show a replay", opt=example(_REPLAY))
async def show_replay(control: NamedDependency[ControlContext], id: FromPath[str]) -> Replay:
    """Return a replay, and how far it is."""
    return await control_replay.replay(control, id)


@post("/{id:str}/stop", summary="Stop a replay", status_code=200, opt=example(_REPLAY))
async def stop_replay(
    control: NamedDependency[ControlContext], id: FromPath[str], who: NamedDependency[str]
) -> Replay:
    """Stop a replay where it is; it can go on later."""
    return await control_replay.stop_replay(control, id, who)


@post("/{id:str}/resume", summary="Resume a replay", status_code=200, opt=example(_REPLAY))
async def resume_replay(
    control: NamedDependency[ControlContext], id: FromPath[str], who: NamedDependency[str]
) -> Replay:
    """Let a stopped or failed replay go on where it is."""
    return await control_replay.resume_replay(control, id, who)


@delete("/{id:str}", summary="Forget a replay")
async def forget_replay(
    control: NamedDependency[ControlContext], id: FromPath[str], who: NamedDependency[str]
) -> None:
    """Forget a replay that does not run and has no parked events and dead letters."""
    await control_replay.forget_replay(control, id, who)


def _place(one: Replay) -> tuple[datetime, str]:
    return (one.created_at, one.id)


router = Router(
    "/replays",
    opt=NAMES,
    route_handlers=[
        list_replays,
        begin_replay,
        count_replay,
        show_replay,
        stop_replay,
        resume_replay,
        forget_replay,
    ],
    tags=["replays"],
)
