"""Which dead letters a command means: its options, as the API takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from busway.cli.ask import segment
from busway.cli.call import Call
from busway.cli.declare import adding
from busway.cli.moment import BACK, moment
from busway.errors import BuswayError
from busway.lane import REPLAY_SEPARATOR

P = ParamSpec("P")
FAST = "max"
_Text = str | None


def _option(name: str, says: str) -> tuple[Any, Any]:
    return Annotated[_Text, typer.Option(f"--{name}", help=says)], None


_OPTIONS: dict[str, tuple[Any, Any]] = {
    "flow": _option("flow", "Only of this flow."),
    "error": _option("error", "Whose last error is this class."),
    "fingerprint": _option("fingerprint", "Of this root cause, as `dead groups` shows it."),
    "key": _option("key", "Of events with this key."),
    "id": _option("id", "Of the event with this id."),
    "since": _option("since", f"That failed then or later: {BACK}."),
    "until": _option("until", "That failed before this time."),
    "where": (
        Annotated[
            list[str] | None,
            typer.Option("--where", help="Whose event has this: data.customer.id=42. Repeatedly."),
        ],
        None,
    ),
    "parked": (
        Annotated[bool, typer.Option("--parked", help="Parked events instead of dead letters.")],
        False,
    ),
}


_NAMES: dict[str, tuple[Any, Any]] = {
    "names": (
        Annotated[
            list[str] | None,
            typer.Argument(metavar="EVENT…", help="Event ids, or flow/partition/offset."),
        ],
        None,
    )
}
_EVERY: dict[str, tuple[Any, Any]] = {
    "every": (Annotated[bool, typer.Option("--all", help="Every one.")], False)
}
_RATE: dict[str, tuple[Any, Any]] = {
    "rate": (
        Annotated[str, typer.Option("--rate", help="How fast many go; max: without a limit.")],
        "1000/s",
    )
}
_WHY: dict[str, tuple[Any, Any]] = {
    "reason": (Annotated[str, typer.Option("--reason", help="Why; the audit trail keeps it.")], ""),
    "wait": (Annotated[bool, typer.Option("--wait", help="Return when all is done.")], False),
}


class Filter:
    """What a command's options ask for; ``named`` is whether they ask for anything."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        wanted = {name: value for name, value in given.items() if value and name != "parked"}
        self.named = bool(wanted)
        for name in ("since", "until"):
            if name in wanted:
                wanted[name] = moment(wanted[name])
        self.params = wanted | ({"state": "parked"} if given["parked"] else {})


def check_flow(call: Call, selection: Mapping[str, Any]) -> None:
    """Raise what the API says of a flow, or a replay of it, that there is not, with the likely one:
    else nothing would be found, and nobody would know why."""
    if "flow" not in selection:
        return
    flow, _, replay = selection["flow"].partition(REPLAY_SEPARATOR)
    call.get(f"/flows/{segment('flow', flow)}")
    if replay:
        call.get(f"/replays/{segment('replay', replay)}")


class Deal:
    """What a command's options ask to be done: with which letters, and how."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        found = Filter({name: given[name] for name in _OPTIONS})
        names, every = given.get("names"), given["every"]
        if bool(names) + (found.named or every) != 1:
            raise BuswayError("say which: event ids, or a filter like --flow, or --all")
        self.selection = found.params
        self.every: bool = every
        self.wait: bool = given["wait"]
        self.body: dict[str, Any] = {"places": names} if names else {"selection": self.selection}
        rate = given.get("rate")
        self.body |= {"reason": given["reason"], "rate": None if rate == FAST else rate}


def filtering(command: Callable[Concatenate[Call, Filter, P], None]) -> Callable[..., None]:
    """Give a command that takes a :class:`Filter` the options for it."""
    return adding(_OPTIONS, Filter, behind=1)(command)


def patching(command: Callable[Concatenate[Call, Deal, P], None]) -> Callable[..., None]:
    """Give a command that takes a :class:`Deal` the options for a filter."""
    return adding(_EVERY | _OPTIONS | _WHY, Deal, behind=1)(command)


def dealing(command: Callable[Concatenate[Call, Deal, P], None]) -> Callable[..., None]:
    """Give a command that takes a :class:`Deal` the options for names or a filter, and a rate."""
    return adding(_NAMES | _EVERY | _OPTIONS | _RATE | _WHY, Deal, behind=1)(command)
