"""Checks of a function that is used as a step, before the first event."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from busway.step import Step

_ARGUMENT = object()


def step_mistakes(step: Step) -> Iterator[str]:
    """Yield why a step cannot be called with an event, or with the events of a batch."""
    function, takes = step.function, "the list of events" if step.batch else "the event"
    if inspect.isclass(function):
        yield f"{step.name} is a class; use a function or a callable object"
    elif not callable(function):
        yield f"{type(function).__name__} is not callable; use a function"
    else:
        yield from _call_mistakes(function, step.name, takes)


def _call_mistakes(function: Callable[..., Any], name: str, takes: str) -> Iterator[str]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions in C have no signature
        return
    try:
        signature.bind(_ARGUMENT)
    except TypeError:
        parameters = list(signature.parameters.values())
        last = name.rpartition(".")[2]
        function_name = last if last.isidentifier() else "step"
        example = f"def {function_name}({'events' if takes[4] == 'l' else 'event'}): …"
        actual = _describe_parameters(parameters)
        yield f"{name} takes {actual}; a step takes one: {takes}, like {example}"


def _describe_parameters(parameters: list[inspect.Parameter]) -> str:
    if not parameters:
        return "no parameters"
    named = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    if len(named) == len(parameters):
        return f"keyword-only parameters ({', '.join(named)})"
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    return f"{len(needed)} parameters ({', '.join(needed)})"
