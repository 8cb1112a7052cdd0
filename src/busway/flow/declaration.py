"""The app and its declarations. Declaring never fails; compiling reports all mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

import msgspec

from busway.declarable import caller_location, checks_parameters
from busway.flow.alert import AlertDeclaration
from busway.flow.limit import Limit

F = TypeVar("F", bound=Callable[..., Any])


class FlowDeclaration(msgspec.Struct):
    """A flow as declared, unchecked, with its location."""

    file: str
    line: int
    options: dict[str, Any]
    name: object = None
    function: Callable[..., Any] | None = None


class SourceDeclaration(msgspec.Struct):
    """A source as declared, unchecked, with its location."""

    file: str
    line: int
    source: object


class App:
    """A named set of flows, and of the sources of their events.

    ``POST /events`` accepts CloudEvents without a declaration; ``events=False`` disables it.

    >>> from busway.sinks import console
    >>> app = App("shop")
    >>> @app.flow(when={"type": ["order.created"]}, to=console())
    ... def orders(event):
    ...     return event.data
    >>> [flow.name for flow in app.declarations]
    ['orders']
    """

    declarations: list[FlowDeclaration]
    alerts: list[AlertDeclaration]
    limits: list[Limit]
    sources: list[SourceDeclaration]
    mistakes: list[str]
    """Mistakes of calls in the flows file."""

    def __new__(cls, *_: object, **__: object) -> Self:
        app = super().__new__(cls)
        app.name, app.declarations, app.alerts = "", [], []
        app.limits, app.mistakes = [], []
        app.sources, app.events = [], True
        return app

    @checks_parameters
    def __init__(self, name: str, *, events: bool = True) -> None:
        self.name = name
        self.events = events

    @checks_parameters
    def flow(
        self,
        name: str | None = None,
        *,
        when: Mapping[str, Any] | str | None = None,
        to: object = None,
        steps: Sequence[object] = (),
        **options: Any,
    ) -> Callable[[F], F]:
        """Declare a flow, as a decorator of its step or by a call with its name.

        ``when`` is an event pattern (by default all events but Busway's own match), ``to`` the
        sink. ``steps`` are functions or :class:`busway.Step`, run before the decorated function.

        Options: ``retry`` (a :class:`busway.Backoff` or a list of waits), ``rate`` (the maximum
        delivery rate, ``"50/s"`` or ``"50/s burst 200"``), ``limit`` (the result of
        :meth:`limit`), ``breaker`` (a :class:`busway.BreakerPolicy`, a ratio, or ``False``),
        ``ordered`` (keep order by key), ``start`` (where a new flow starts: at the ``"end"`` or
        ``"beginning"`` of the log, or at a time), ``renamed_from`` (the previous name),
        ``windows`` (a list of :class:`busway.Window` during which it is suspended), and for the
        decorated function ``timeout`` (``"5s"``), ``concurrency`` (of an ``async`` function, per
        worker) and ``batch`` (it takes a list of events and returns a list of as many results).
        """
        values = {"when": when, "to": to, "steps": steps, **options}
        declaration = FlowDeclaration(*caller_location(), values, name)
        self.declarations.append(declaration)

        def attach(function: F) -> F:
            declaration.function = function
            if declaration.name is None:
                declaration.name = getattr(function, "__name__", None)
            return function

        return attach

    def source(self, source: object) -> None:
        """Declare a source: one of :mod:`busway.sources`, or your own.

        Its name must be unique in the app. A request source receives at ``/in/{name}``; a reader
        reads while the app runs.
        """
        self.sources.append(SourceDeclaration(*caller_location(), source))

    @checks_parameters
    def limit(self, name: str, *, rate: object = None, concurrency: object = None) -> Limit:
        """Declare a limit that flows and steps can share.

        ``rate`` is like ``"10/s"`` or ``"10/s burst 50"``, ``concurrency`` a number, ``"adaptive"``
        or an :class:`busway.Adaptive`. Workers divide the rate among them; the concurrency applies
        to each worker. The option ``limit`` applies it to a flow's deliveries; ``with crm:``
        applies it inside a step.
        """
        file, line = caller_location()
        place = f"{file}:{line}"
        self.limits.append(Limit(name, rate, concurrency, place))
        return self.limits[-1]

    @checks_parameters
    def alert(self, name: str, condition: object, **options: Any) -> None:
        """Declare an alert: events on the bus while a condition of :mod:`busway.alerts` holds.

        A condition without a flow or destination is watched for each. Options: ``hold`` (how long
        it must hold before the alert is raised, like ``"1m"``), ``clear_below`` (a second threshold
        for clearing; ``clear_above`` if lower values are worse), ``clear_hold`` (how long before
        the alert is cleared; default: ``hold``) and ``repeat_every`` (how often a raised alert is
        repeated, like ``"1h"``).
        """
        self.alerts.append(AlertDeclaration(*caller_location(), name, condition, options))
