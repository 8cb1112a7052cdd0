"""``busway pause``, ``resume``, ``drain``, ``throttle``: steer a flow, or a destination."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Concatenate, ParamSpec

import msgspec
import typer

from busway.cli.ask import segment
from busway.cli.call import Answer, Call, calling
from busway.cli.declare import REQUIRED, Options, adding
from busway.cli.moment import AHEAD, moment
from busway.cli.show import echo
from busway.control.steer.view import Steered
from busway.errors import BuswayError

P = ParamSpec("P")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The flow.")]
IsDestination = Annotated[
    bool,
    typer.Option("--destination", help="NAME is a destination, or a flow that delivers to it."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for whoever looks.")]
_GIVEN: Options = {
    "name": (Name, REQUIRED),
    "destination": (IsDestination, False),
    "reason": (Reason, ""),
}


class Way(msgspec.Struct, frozen=True):
    """The way to what is steered: a flow, or a destination by name; and why it is."""

    name: str
    destination: bool = False
    reason: str = ""

    @property
    def path(self) -> str:
        return "/destinations" if self.destination else f"/flows/{segment('flow', self.name)}"

    @property
    def params(self) -> dict[str, Any]:
        return {"name": self.name} if self.destination else {}


def steering(command: Callable[Concatenate[Call, Way, P], None]) -> Callable[..., None]:
    """Make a command of a function that takes a :class:`Call` and a :class:`Way` first: adds the
    argument and the options for them."""
    return calling(adding(_GIVEN, lambda given: Way(**given), behind=1)(command))


@steering
def pause(
    call: Call,
    way: Way,
    lasts: Annotated[str | None, typer.Option("--for", help="For so long, like 2h.")] = None,
    until: Annotated[str | None, typer.Option("--until", help=f"Until then: {AHEAD}.")] = None,
) -> None:
    """Stop delivering at once; events go on coming in, the backlog stays.

    Until it is resumed, or for a time. It holds over restarts.

    Example: `busway pause orders --for 2h --reason "the shop moves"`
    """
    body = {"reason": way.reason}
    body |= {} if lasts is None else {"for": lasts}
    end = moment(until, ahead=True)
    body |= {} if end is None else {"until": end.isoformat()}
    tell(call, call.post(f"{way.path}/pause", body, **way.params))


@steering
def resume(call: Call, way: Way) -> None:
    """Deliver again, and call a destination at once that is down, or that answered 410.

    Maintenance windows go on to hold: `busway window skip orders` passes over one.

    Example: `busway resume orders`
    """
    found = tell(call, call.post(f"{way.path}/resume", {"reason": way.reason}, **way.params))
    if not call.json and not call.client.alone and found.state.state in ("down", "gone"):
        echo("The destination is called now: `busway status` shows what it answers.")


@steering
def drain(call: Call, way: Way) -> None:
    """Deliver what is there now, and pause then.

    Parked events that are due within a minute are waited for; later ones stay parked.

    Example: `busway drain orders --reason "before the move"`
    """
    tell(call, call.post(f"{way.path}/drain", {"reason": way.reason}, **way.params))


@steering
def throttle(
    call: Call,
    way: Way,
    rate: Annotated[str | None, typer.Option("--rate", help="Events, like 5/s or 100/m.")] = None,
    concurrency: Annotated[
        str | None,
        typer.Option("--concurrency", help="Requests at a time, of each worker: 4, or adaptive."),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Hold what is declared again.")] = False,
) -> None:
    """Hold another rate or concurrency than is declared, until it is taken off.

    Example: `busway throttle orders --rate 5/s`
    """
    asked = {"rate": rate, "concurrency": concurrency}
    if off == any(asked.values()):
        raise BuswayError("say what: --rate, --concurrency or both, or --off")
    if off:
        tell(call, call.delete(f"{way.path}/throttle", reason=way.reason, **way.params))
    else:
        body = asked | {"reason": way.reason}
        tell(call, call.put(f"{way.path}/throttle", body, **way.params))


def tell(call: Call, answer: Answer[Any]) -> Steered:
    """Print how what was steered stands now, and return that."""
    found = answer.read(Steered)
    if call.json:
        answer.print()
        return found
    state, name = found.state, found.controls.name
    until = "" if state.until is None else f" until {state.until.astimezone():%F %T %Z}"
    why = f": {state.reason}" if state.reason else ""
    echo(f"{name} is {_WORDS.get(state.state, state.state)}{until}{why}")
    asked = found.controls.throttle
    if asked is not None:
        parts = ("rate", asked.rate), ("concurrency", asked.concurrency)
        held = " and ".join(f"{what} {value}" for what, value in parts if value is not None)
        echo(f"{name} is held to {held}, by {asked.who} since {asked.since:%F %T} UTC")
    if call.client.alone:
        echo("Nothing runs here now: it holds from the next start on.")
    return found


_WORDS = {"window": "in a maintenance window"}
