"""Which dead letters a command means: its options, as the API takes them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar, get_type_hints

import typer

from busway.cli.call import Call
from busway.cli.moment import moment
from busway.errors import BuswayError

P = ParamSpec("P")
T = TypeVar("T")
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
    "since": _option("since", "That failed at this time or later: a time, or 2h for 2 hours ago."),
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


class Deal:
    """What a command's options ask to be done: with which letters, and how."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        found = Filter({name: given[name] for name in _OPTIONS})
        names, every = given.get("names"), given["every"]
        if bool(names) + (found.named or every) != 1:
            raise BuswayError("say which: event ids, or a filter like --flow, or --all")
        self.selection = found.params
        self.wait: bool = given["wait"]
        self.body: dict[str, Any] = {"places": names} if names else {"selection": self.selection}
        rate = given.get("rate")
        self.body |= {"reason": given["reason"], "rate": None if rate == FAST else rate}


def _adding(
    options: Mapping[str, tuple[Any, Any]], made: Callable[[Mapping[str, Any]], T]
) -> Callable[[Callable[Concatenate[Call, T, P], None]], Callable[..., None]]:
    """Return a decorator that adds options to a command, which gets what is ``made`` of them."""

    def adding(command: Callable[Concatenate[Call, T, P], None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(call: Call, *args: P.args, **kwargs: P.kwargs) -> None:
            given: dict[str, Any] = {name: kwargs.pop(name) for name in options}
            command(call, made(given), *args, **kwargs)

        hints = get_type_hints(command, include_extras=True)
        first, _, *own = inspect.signature(command).parameters.values()
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=kind)
            for name, (kind, value) in options.items()
        ]
        found = [
            first.replace(annotation=Call),
            *(one.replace(annotation=hints[one.name]) for one in own),
            *added,
        ]
        called.__signature__ = inspect.Signature(found)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in found}
        return called

    return adding


filtering = _adding(_OPTIONS, Filter)
"""Gives a command that takes a :class:`Filter` the options for it."""
patching = _adding(_EVERY | _OPTIONS | _WHY, Deal)
"""Gives a command that takes a :class:`Deal` the options for a filter."""
dealing = _adding(_NAMES | _EVERY | _OPTIONS | _RATE | _WHY, Deal)
"""Gives a command that takes a :class:`Deal` the options for names or a filter, and for a rate."""
