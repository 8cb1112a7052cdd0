"""What users declare: an app and its flows. Declaring never fails; compiling tells all mistakes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from busway.flow.alert import AlertDeclaration

F = TypeVar("F", bound=Callable[..., Any])


class Declaration(msgspec.Struct):
    """One flow as its author wrote it, unchecked, and where."""

    file: str
    line: int
    options: dict[str, Any]
    name: object = None
    function: Callable[..., Any] | None = None


class App:
    """A named set of flows.

    >>> from busway.sinks import console
    >>> app = App("shop")
    >>> @app.flow(when={"type": ["order.created"]}, to=console())
    ... def orders(event):
    ...     return event.data
    >>> [flow.name for flow in app.declarations]
    ['orders']
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.declarations: list[Declaration] = []
        self.alerts: list[AlertDeclaration] = []

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

        Options: ``retry`` (a :class:`busway.Backoff`), ``rate`` (``"50/s"``: how fast it may
        deliver), ``ordered`` (keep order by key), ``start`` (``"end"`` or ``"beginning"``
        of the log, where a new flow begins), and for the decorated function ``timeout``
        (``"5s"``), ``concurrency`` (of an ``async`` one) and ``batch`` (it takes a list of events
        and returns a list of as many results).
        """
        frame = sys._getframe(1)
        given = {"when": when, "to": to, "steps": steps, **options}
        declaration = Declaration(frame.f_code.co_filename, frame.f_lineno, given, name)
        self.declarations.append(declaration)

        def attach(function: F) -> F:
            declaration.function = function
            if declaration.name is None:
                declaration.name = getattr(function, "__name__", None)
            return function

        return attach

    def alert(self, name: str, condition: object, **options: Any) -> None:
        """Declare an alert: events on the bus when a condition of :mod:`busway.alerts` holds.

        Options: ``hold`` (``"1m"``: for how long it must hold before the alert is raised),
        ``clear_below`` (``clear_above`` where less is worse: a second threshold, for clearing) and
        ``clear_hold`` (for how long, the same as ``hold`` unless given).
        """
        frame = sys._getframe(1)
        place = (frame.f_code.co_filename, frame.f_lineno)
        self.alerts.append(AlertDeclaration(*place, name, condition, options))
