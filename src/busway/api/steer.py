"""``/flows/NAME/…``, ``/destinations/…``: pause, resume, drain, throttle, windows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, QueryParameter

from busway.api.etag import check_match
from busway.api.openapi import NAMES, example
from busway.control.control import Control
from busway.control.page import Page
from busway.control.steer import operation as steer
from busway.control.steer.operation import Order
from busway.control.steer.record import Target, known_destination, known_flow, steering
from busway.control.steer.standing import Standing
from busway.control.steer.view import (
    AddedWindow,
    Controls,
    Steered,
    WindowStatus,
    controls,
    steered,
    windows,
)
from busway.delivery.hold import Override, Pause, Steering
from busway.delivery.window import Window

Time = Annotated[datetime, msgspec.Meta(tz=True)]
Reason = Annotated[str, QueryParameter(description="Why, for the audit trail.")]
_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_UNTIL = datetime(2026, 3, 1, 14, tzinfo=UTC)
_CONTROLS = Controls(
    kind="flow",
    name="orders",
    pause=Pause(_AT, "ann@ops", "the CRM moves", _UNTIL),
    throttle=Override(_AT, "ann@ops", rate="5/s"),
    windows=(AddedWindow("8966ca5e", "0 2 * * SUN", "2h", "Europe/Berlin", "backup"),),
)
_STEERED = Steered(
    controls=_CONTROLS,
    state=Standing("paused", "paused by ann@ops since 2026-03-01 12:00:00 UTC: a move", _UNTIL),
)
_WINDOW = WindowStatus(
    id="8966ca5e",
    scope="flow",
    cron="0 2 * * SUN",
    lasts="2h",
    tz="Europe/Berlin",
    reason="backup",
    next_start=datetime(2026, 3, 8, 1, tzinfo=UTC),
)


class Why(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why, for the audit trail and whoever looks."""

    reason: str = ""


class ToPause(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Until a time, for a duration (``"2h"``), or, without either, until it is resumed."""

    until: Time | None = None
    lasts: str | None = msgspec.field(default=None, name="for")
    reason: str = ""


class ToThrottle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rate (``"5/s"``), a concurrency (``4``, ``"adaptive"``), or both."""

    rate: str | None = None
    concurrency: int | str | None = None
    reason: str = ""


class ToOpen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A maintenance window: a cron expression of five fields, how long, and in which time zone."""

    cron: str
    lasts: str = msgspec.field(name="for")
    tz: str = "UTC"
    reason: str = ""


class Asker(msgspec.Struct, frozen=True):
    """Who asks, of what, and its record as he has seen it, where he said so with ``If-Match``."""

    control: Control
    target: Target
    who: str
    seen: Steering | None

    def asks(self, reason: str) -> tuple[Control, Target, Order]:
        """Return what each operation takes first."""
        return self.control, self.target, Order(self.who, reason, self.seen)

    async def steered(self, found: Steering) -> Steered:
        """Return the answer: what is asked now, and how that stands."""
        return await steered(self.control, self.target, found)


@get("/controls", summary="Show what is asked", opt=example(_CONTROLS))
async def show_controls(
    control: NamedDependency[Control], target: NamedDependency[Target]
) -> Controls:
    """Return what people have asked of it: pause, drain, throttle, windows. For `If-Match`."""
    return controls(target, await steering(control.ledger, target))


@post("/pause", summary="Pause", status_code=200, opt=example(_STEERED, ToPause(lasts="2h")))
async def pause(
    asker: NamedDependency[Asker],
    data: JSONBody[ToPause],
) -> Steered:
    """Deliver nothing from now on; events go on coming in, the backlog stays.

    It ends at `until`, after `for`, or when it is resumed. It holds over restarts.
    """
    clock = asker.control.clock
    until = steer.pause_end(clock.now(), data.lasts, data.until, clock.ahead())
    found = await steer.pause(*asker.asks(data.reason), until)
    return await asker.steered(found)


@post("/resume", summary="Resume", status_code=200, opt=example(_STEERED, Why()))
async def resume(
    asker: NamedDependency[Asker],
    data: JSONBody[Why],
) -> Steered:
    """End a pause or a drain, and call a destination at once that is down, or answered 410.

    Maintenance windows go on to hold.
    """
    found = await steer.resume(*asker.asks(data.reason))
    return await asker.steered(found)


@post("/drain", summary="Drain", status_code=200, opt=example(_STEERED, Why(reason="a move")))
async def drain(
    asker: NamedDependency[Asker],
    data: JSONBody[Why],
) -> Steered:
    """Deliver what is there now, and pause then.

    Parked events that are due within a minute are waited for; later ones stay parked.
    """
    found = await steer.drain(*asker.asks(data.reason))
    return await asker.steered(found)


@put("/throttle", summary="Throttle", opt=example(_STEERED, ToThrottle(rate="5/s")))
async def throttle(
    asker: NamedDependency[Asker],
    data: JSONBody[ToThrottle],
) -> Steered:
    """Hold another rate or concurrency than is declared, until it is taken off.

    What the body leaves out stays as it was asked for before.
    """
    most = None if data.concurrency is None else str(data.concurrency)
    found = await steer.throttle(*asker.asks(data.reason), data.rate, most)
    return await asker.steered(found)


@delete("/throttle", summary="Take the throttle off", status_code=200, opt=example(_STEERED))
async def unthrottle(
    asker: NamedDependency[Asker],
    reason: Reason = "",
) -> Steered:
    """Hold the declared rate and concurrency again."""
    found = await steer.unthrottle(*asker.asks(reason))
    return await asker.steered(found)


@get("/windows", summary="List windows", opt=example(Page([_WINDOW])))
async def list_windows(
    control: NamedDependency[Control], target: NamedDependency[Target]
) -> Page[WindowStatus]:
    """Return the maintenance windows that hold it, those of a flow's destination too."""
    return Page(list(await windows(control, target)))


@post(
    "/windows",
    summary="Add a window",
    opt=example(_STEERED, ToOpen(cron="0 2 * * SUN", lasts="2h", tz="Europe/Berlin")),
)
async def add_window(
    asker: NamedDependency[Asker],
    data: JSONBody[ToOpen],
) -> Steered:
    """Add a maintenance window. One that is there already stays as it is."""
    window = Window(data.cron, data.lasts, data.tz, data.reason)
    found = await steer.add_window(*asker.asks(data.reason), window)
    return await asker.steered(found)


@delete("/windows/{id:str}", summary="Remove a window", status_code=200, opt=example(_STEERED))
async def remove_window(
    asker: NamedDependency[Asker],
    id: FromPath[str],
    reason: Reason = "",
) -> Steered:
    """Remove a maintenance window that was added; a declared one is removed in the flows file."""
    found = await steer.remove_window(*asker.asks(reason), id)
    return await asker.steered(found)


@post("/windows/skip", summary="Skip a window", status_code=200, opt=example(_STEERED, Why()))
async def skip_windows(
    asker: NamedDependency[Asker],
    data: JSONBody[Why],
) -> Steered:
    """Pass over the windows that are open now, until they close; 409 when none is."""
    found = await steer.skip_windows(*asker.asks(data.reason))
    return await asker.steered(found)


async def asker(
    request: Request[Any, Any, Any],
    control: NamedDependency[Control],
    target: NamedDependency[Target],
    who: NamedDependency[str],
) -> Asker:
    """Return who asks; a 412 problem when the record is another than `If-Match` says."""
    if "if-match" not in request.headers:
        return Asker(control, target, who, None)
    seen = await steering(control.ledger, target)
    check_match(request, controls(target, seen))
    return Asker(control, target, who, seen)


async def flow(control: NamedDependency[Control], name: FromPath[str]) -> Target:
    """Return the flow of the path."""
    return await known_flow(control.ledger, name)


async def destination(
    control: NamedDependency[Control],
    name: Annotated[
        str, QueryParameter(description="The destination's name, or that of a flow of it.")
    ],
) -> Target:
    """Return the destination that is asked about."""
    return await known_destination(control.ledger, name)


_HANDLERS = [
    show_controls,
    pause,
    resume,
    drain,
    throttle,
    unthrottle,
    list_windows,
    add_window,
    remove_window,
    skip_windows,
]
flows = Router(
    "/flows/{name:str}",
    route_handlers=_HANDLERS,
    dependencies={"target": Provide(flow), "asker": Provide(asker)},
    tags=["steering"],
)
destinations = Router(
    "/destinations",
    opt=NAMES,
    route_handlers=_HANDLERS,
    dependencies={"target": Provide(destination), "asker": Provide(asker)},
    tags=["steering"],
)
