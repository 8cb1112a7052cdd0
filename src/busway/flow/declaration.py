"""What users declare: an app and its flows. Declaring never fails; compiling tells all mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

import msgspec

from busway.declarable import caller_location, checks_parameters
from busway.flow.alert import AlertDeclaration
from busway.flow.limit import Limit

F = TypeVar("F", bound=Callable[..., Any])


class FlowDeclaration(msgspec.Struct):
    """One flow as its author wrote it, unchecked, and where."""

    file: str
    line: int
    options: dict[str, Any]
    name: object = None
    function: Callable[..., Any] | None = None


class SourceDeclaration(msgspec.Struct):
    """One source as its author wrote it, unchecked, and where."""

    file: str
    line: int
    source: object


class App:
    """A named set of flows, and of the sources of their events.

    ``POST /events`` accepts CloudEvents without being declared; ``events=False`` switches it off.

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
    """Calls in the flows file that were wrong."""

    def __new__(cls, *_: object, **__: object) -> Self:
        made = super().__new__(cls)
        made.name, made.declarations, made.alerts = "", [], []
        made.limits, made.mistakes = [], []
        made.sources, made.events = [], True
        return made

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
        """Declare a flow: by decorating its step, or by a call with its name.

        ``when`` is an event pattern (without one the flow gets every event), ``to`` the sink,
        ``steps`` are functions or :class:`busway.Step` run in a row before a decorated one.

        Options: ``retry`` (a :class:`busway.Backoff`, or a list of waits), ``rate`` (``"50/s"`` or
        ``"50/s burst 200"``: how fast it may deliver), ``limit`` (what :meth:`limit` returned),
        ``breaker`` (a
        :class:`busway.BreakerPolicy`, a ratio, or ``False``), ``ordered`` (keep order by key),
        ``start`` (where a new flow begins: at the ``"end"`` or the ``"beginning"`` of the log, or
        at a time), ``renamed_from`` (what it was called before), ``windows`` (a list of
        :class:`busway.Window`: when it rests), and for the decorated function ``timeout``
        (``"5s"``), ``concurrency`` (of an ``async`` one, in each worker) and ``batch`` (it takes a
        list of events and returns a list of as many results).
        """
        given = {"when": when, "to": to, "steps": steps, **options}
        declaration = FlowDeclaration(*caller_location(), given, name)
        self.declarations.append(declaration)

        def attach(function: F) -> F:
            declaration.function = function
            if declaration.name is None:
                declaration.name = getattr(function, "__name__", None)
            return function

        return attach

    def source(self, source: object) -> None:
        """Declare a source: one of :mod:`busway.sources`, or your own.

        Its name is unique in the app. A request source receives at ``/in/{name}``; a reader reads
        while the app runs.
        """
        self.sources.append(SourceDeclaration(*caller_location(), source))

    @checks_parameters
    def limit(self, name: str, *, rate: object = None, concurrency: object = None) -> Limit:
        """Declare a limit that flows and steps can share.

        ``rate`` is like ``"10/s"`` or ``"10/s burst 50"``, ``concurrency`` a number, ``"adaptive"``
        or an :class:`busway.Adaptive`. Several workers divide the rate among them; the concurrency
        is for each of them. Flows deliver under it with the option ``limit``; in a step
        ``with crm:`` holds it.
        """
        file, line = caller_location()
        place = f"{file}:{line}"
        self.limits.append(Limit(name, rate, concurrency, place))
        return self.limits[-1]

    @checks_parameters
    def alert(self, name: str, condition: object, **options: Any) -> None:
        """Declare an alert: events on the bus when a condition of :mod:`busway.alerts` holds.

        A condition without a flow or destination is watched for each. Options: ``hold`` (``"1m"``:
        for how long it must hold before the alert is raised), ``clear_below`` (``clear_above``
        where less is worse: a second threshold, for clearing), ``clear_hold`` (for how long, the
        same as ``hold`` unless given) and ``repeat_every`` (``"1h"``: how often a raised one is
        repeated).
        """
        self.alerts.append(AlertDeclaration(*caller_location(), name, condition, options))
