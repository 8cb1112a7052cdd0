"""The compiler of flows: reports all mistakes at once, each with its location and a fix."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from busway.declarable import contains_invalid
from busway.delivery.backoff import Backoff
from busway.delivery.breaker_policy import BreakerPolicy
from busway.delivery.maintenance_window import Window, validated_windows
from busway.delivery.rate import Rate
from busway.duration import parse_seconds
from busway.errors import FlowError, PatternError, SettingsError
from busway.flow.compile_alert import compile_alerts
from busway.flow.compile_limit import compile_limits, parse_limit_option
from busway.flow.compile_rule import rule_mistakes, rule_warnings
from busway.flow.compile_sink import sink_mistakes
from busway.flow.compile_source import compile_sources
from busway.flow.compile_step import step_mistakes
from busway.flow.declaration import App, FlowDeclaration
from busway.flow.delivery_option import breaker_conflicts, parse_breaker, parse_retry
from busway.flow.flow import CompiledApp, Flow
from busway.flow.limit import Limit
from busway.flow.rename import rename_mistakes
from busway.flow.start_position import StartPosition, parse_start_position
from busway.flow.version import version_of
from busway.ports import Sink
from busway.rule import Pattern
from busway.spelling import nearest
from busway.step import Step

OPTIONS = (
    *("when", "to", "steps", "retry", "rate", "ordered", "start"),
    *("renamed_from", "windows", "breaker", "limit"),
    *("timeout", "concurrency", "batch"),
)
DEFAULT_RULE = {"type": [{"anything-but": {"prefix": "busway."}}]}
"""The default rule: Busway's own events, like alerts, have to be requested explicitly."""
_FLOW_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def compile_app(app: App) -> CompiledApp:
    """Return the compiled app.

    Raises :class:`FlowError` with one line per mistake: ``file:line: flow: mistake; fix``.
    """
    mistakes = list(app.mistakes)
    limits = compile_limits(app.limits, mistakes)
    flows = [
        _FlowCompiler(declaration, mistakes, app.limits).flow() for declaration in app.declarations
    ]
    mistakes += _name_clashes(app.declarations)
    mistakes += [_mistake(*mistake) for mistake in rename_mistakes(app.declarations)]
    alerts = compile_alerts(
        app.alerts,
        {str(declaration.name): declaration.options.get("to") for declaration in app.declarations},
        mistakes,
    )
    sources = compile_sources(app.sources, mistakes)
    if not app.declarations:
        mistakes.append(f"app {app.name!r} has no flows; declare one with @app.flow(…)")
    if mistakes:
        raise FlowError("\n".join(mistakes))
    compiled = tuple(flow for flow in flows if flow is not None)
    clashes = [
        f"{flow.location}: flow {flow.name!r}: breaker: {mistake}"
        for flow, mistake in breaker_conflicts(compiled)
    ]
    if clashes:
        raise FlowError("\n".join(clashes))
    warnings = [
        f"{flow.location}: flow {flow.name!r}: {mistake}"
        for flow in compiled
        for mistake in rule_warnings(flow.pattern)
    ]
    return CompiledApp(app.name, compiled, alerts, limits, tuple(warnings), sources, app.events)


def is_flow_name(text: str) -> bool:
    """Return whether a text is a valid name of a flow."""
    return _FLOW_NAME.fullmatch(text) is not None


def _location(declaration: FlowDeclaration) -> str:
    return f"{declaration.file}:{declaration.line}"


def _mistake(declaration: FlowDeclaration, what: str) -> str:
    return f"{_location(declaration)}: flow {declaration.name!r}: {what}"


def _name_clashes(declarations: list[FlowDeclaration]) -> list[str]:
    by_name: dict[object, FlowDeclaration] = {}
    clashes = []
    for declaration in declarations:
        first = by_name.setdefault(declaration.name, declaration)
        if first is not declaration and declaration.name is not None:
            what = f"the flow at line {first.line} has the same name; rename one of them"
            clashes.append(_mistake(declaration, what))
    return clashes


class _FlowCompiler:
    """Compiles one declaration; collects its mistakes."""

    def __init__(
        self, declaration: FlowDeclaration, mistakes: list[str], limits: Sequence[Limit]
    ) -> None:
        self._declaration = declaration
        self._mistakes = mistakes
        self._known_limits = limits
        options = declaration.options
        self._invalid_options = {name for name, value in options.items() if contains_invalid(value)}
        """Options that contain the result of a wrong call, which is reported already."""
        self._options = {
            name: options[name] for name in options if name not in self._invalid_options
        }

    def flow(self) -> Flow | None:
        """Return the flow, or ``None`` if it has mistakes."""
        before = len(self._mistakes)
        self._check_options()
        name, pattern, sink = self._name(), self._pattern(), self._sink()
        steps, backoff, start = self._steps(), self._backoff(), self._start()
        rate, windows, breaker_policy, limits = (
            self._rate(),
            self._windows(),
            self._breaker_policy(),
            self._limits(),
        )
        if len(self._mistakes) > before or self._invalid_options or pattern is None or sink is None:
            return None
        return Flow(
            name=name,
            pattern=pattern,
            steps=steps,
            sink=sink,
            backoff=backoff,
            rate=rate,
            ordered=bool(self._options.get("ordered", False)),
            start=start,
            renamed_from=self._options.get("renamed_from") or "",
            windows=windows,
            breaker_policy=breaker_policy,
            limits=limits,
            version=self._version(steps, pattern, sink),
            location=_location(self._declaration),
        )

    def _add_mistake(self, what: str) -> None:
        self._mistakes.append(_mistake(self._declaration, what))

    def _check_options(self) -> None:
        for option in self._options:
            if option not in OPTIONS:
                near = nearest(option, OPTIONS)
                fix = f"did you mean {near!r}?" if near else f"use one of {', '.join(OPTIONS)}"
                self._add_mistake(f"unknown option {option!r}: {fix}")
        for option in ("ordered", "batch"):
            value = self._options.get(option, False)
            if not isinstance(value, bool):
                self._add_mistake(f"invalid {option} {value!r}: use True or False")
        if self._declaration.function is None:
            for option in set(self._options) & {"timeout", "concurrency", "batch"}:
                fix = "decorate a function, or set it in steps=[Step(function, …)]"
                self._add_mistake(f"{option} needs a decorated function; {fix}")

    def _name(self) -> str:
        name = self._declaration.name
        if isinstance(name, str) and is_flow_name(name):
            return name
        if callable(name):
            self._declaration.name = getattr(name, "__name__", "…")
            self._invalid_options.add("to")
            self._add_mistake("the decorator needs parentheses; write @app.flow(to=…)")
        elif name is None:
            self._add_mistake('no name; decorate a function, or call app.flow("name", …)')
        else:
            self._add_mistake(
                "invalid name: use a letter, then up to 63 letters, digits and _ . - characters"
            )
        return ""

    def _pattern(self) -> Pattern | None:
        when = self._options.get("when")
        try:
            pattern = Pattern.parse(DEFAULT_RULE if when is None else when)
        except PatternError as error:
            self._add_mistake(f"when: {error}")
        except TypeError:
            self._add_mistake(
                f"invalid when of type {type(when).__name__}: use an event pattern as dict or JSON"
            )
        else:
            for what in rule_mistakes(pattern):
                self._add_mistake(what)
            return pattern
        return None

    def _sink(self) -> Sink | None:
        if "to" in self._invalid_options:
            return None
        sink = self._options.get("to")
        mistakes = list(sink_mistakes(sink))
        for what in mistakes:
            self._add_mistake(what)
        return None if mistakes else cast(Sink, sink)

    def _steps(self) -> tuple[Step, ...]:
        steps = self._options.get("steps", ())
        if not isinstance(steps, list | tuple):
            kind = type(steps).__name__
            self._add_mistake(f"invalid steps of type {kind}: use a list of functions")
            return ()
        compiled = [self._step(step, number) for number, step in enumerate(steps)]
        if self._declaration.function is not None:
            compiled.append(self._decorated(self._declaration.function))
        return tuple(step for step in compiled if step is not None)

    def _step(self, given: object, number: int) -> Step | None:
        step = given if isinstance(given, Step) else Step(given) if callable(given) else None
        if step is None:
            kind = type(given).__name__
            self._add_mistake(f"invalid steps[{number}] of type {kind}: use a function or a Step")
            return None
        return self._callable(step, f"steps[{number}]: ")

    def _decorated(self, function: Callable[..., Any]) -> Step | None:
        timeout_s = self._timeout_s()
        concurrency = self._options.get("concurrency", 16)
        if not isinstance(concurrency, int) or concurrency < 1:
            self._add_mistake(f"invalid concurrency {concurrency!r}: use an integer >= 1")
            return None
        if not callable(function):
            kind = type(function).__name__
            self._add_mistake(f"the decorated object is of type {kind}; decorate a function")
            return None
        batch = bool(self._options.get("batch", False))
        return self._callable(Step(function, timeout_s, batch, concurrency), "")

    def _callable(self, step: Step, where: str) -> Step | None:
        mistakes = list(step_mistakes(step))
        for what in mistakes:
            self._add_mistake(where + what)
        return None if mistakes else step

    def _timeout_s(self) -> float:
        timeout = self._options.get("timeout", "60s")
        try:
            seconds = parse_seconds(timeout)
        except SettingsError as error:
            self._add_mistake(f"timeout: {error}")
            return 60.0
        if not seconds:
            self._add_mistake(f"invalid timeout {timeout!r}: use a duration > 0, like '5s'")
        return seconds

    def _backoff(self) -> Backoff:
        try:
            return parse_retry(self._options.get("retry"))
        except SettingsError as error:
            self._add_mistake(f"retry: {error}")
            return Backoff()

    def _breaker_policy(self) -> BreakerPolicy | None:
        try:
            return parse_breaker(self._options.get("breaker"))
        except SettingsError as error:
            self._add_mistake(f"breaker: {error}")
            return None

    def _limits(self) -> tuple[str, ...]:
        try:
            return parse_limit_option(self._options.get("limit", ()), self._known_limits)
        except SettingsError as error:
            self._add_mistake(f"limit: {error}")
            return ()

    def _rate(self) -> Rate | None:
        rate = self._options.get("rate")
        try:
            return None if rate is None else Rate.parse(rate)
        except SettingsError as error:
            self._add_mistake(f"rate: {error}")
            return None

    def _windows(self) -> tuple[Window, ...]:
        try:
            return validated_windows(self._options.get("windows", ()))
        except SettingsError as error:
            self._add_mistake(f"windows: {error}")
            return ()

    def _start(self) -> StartPosition:
        try:
            return parse_start_position(self._options.get("start", "end"))
        except SettingsError as error:
            self._add_mistake(str(error))
            return "end"

    def _version(self, steps: tuple[Step, ...], pattern: Pattern, sink: Sink) -> str:
        shape = [(step.timeout_s, step.batch, step.concurrency) for step in steps]
        declared = repr((pattern.source, sink, shape))
        functions = [step.function for step in steps]
        return version_of(functions, declared, Path(self._declaration.file).resolve().parent)
