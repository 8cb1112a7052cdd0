"""Commands of the declared operations: their options, help and output are derived."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Annotated, Any, Concatenate, Generic, ParamSpec, TypeVar, get_origin

import msgspec
import typer

from busway.cli.call import Call, WatchOption, api_options
from busway.cli.output import echo, print_json
from busway.cli.parameter import REQUIRED, add_parameters, set_parameters
from busway.cli.record_view import print_items, print_record
from busway.cli.request_option import options_of, request_of, shell_words
from busway.control.operation import Command, Operation
from busway.control.page import Page

P = ParamSpec("P")
RequestT = TypeVar("RequestT", bound=msgspec.Struct)
ResultT = TypeVar("ResultT")
Limit = Annotated[int, typer.Option("--limit", min=1, help="Maximum number of items.")]


class ResultView(Generic[ResultT]):
    """A function that prints the result of operations for people: see :func:`result_view`."""

    def __init__(
        self,
        operations: Sequence[Operation[Any, Any]],
        show: Callable[[Call, ResultT], None],
        watch: bool = False,
        empty: str = "",
    ) -> None:
        self.operations, self.show, self.watch, self.empty = operations, show, watch, empty


class CommandBody:
    """A function that a command runs instead of calling its operation and printing the result."""

    def __init__(self, operation: Operation[Any, Any], run: Callable[..., None]) -> None:
        self.operation, self.run = operation, run


def result_view(
    *operations: Operation[Any, Any], watch: bool = False, empty: str = ""
) -> Callable[[Callable[[Call, ResultT], None]], ResultView[ResultT]]:
    """Declare how the result of operations is printed for people; of a list, its items.

    ``watch`` adds the option ``--watch``; ``empty`` is printed for a list without items.
    """
    return lambda show: ResultView(operations, show, watch, empty)


def command_body(
    operation: Operation[RequestT, Any],
) -> Callable[[Callable[Concatenate[Call, RequestT, P], None]], CommandBody]:
    """Declare what the command of an operation does; it may have options of its own."""
    return lambda run: CommandBody(operation, run)


class WrittenCommand:
    """A command that is not derived from an operation: see :func:`written_command`."""

    def __init__(self, words: str, run: Callable[..., None]) -> None:
        self.words, self.run = words, run


def written_command(words: str) -> Callable[[Callable[..., None]], WrittenCommand]:
    """Declare a command that is written by hand."""
    return lambda run: WrittenCommand(words, run)


def api_command(words: str) -> Callable[[Callable[..., None]], WrittenCommand]:
    """Declare a command that is written by hand and takes a :class:`Call` to run operations."""
    return lambda run: WrittenCommand(words, api_options(run))


def commands_of(
    operations: Iterable[Operation[Any, Any]], written: ModuleType | None
) -> Mapping[tuple[str, ...], Callable[..., None]]:
    """Return the commands of operations by their words, with what a module has written by hand."""
    values = [] if written is None else list(vars(written).values())
    views = {
        each: value
        for value in values
        if isinstance(value, ResultView)
        for each in value.operations
    }
    bodies = {value.operation: value for value in values if isinstance(value, CommandBody)}
    commands = {
        operation.declaration.command.words: _operation_command(
            operation, views.get(operation), bodies.get(operation)
        )
        for operation in operations
        if operation.declaration.command is not None
    }
    commands |= {value.words: value.run for value in values if isinstance(value, WrittenCommand)}
    return {tuple(words.split()): run for words, run in commands.items()}


def _operation_command(
    operation: Operation[Any, Any], shown: ResultView[Any] | None, written: CommandBody | None
) -> Callable[..., None]:
    run = _derived(operation, shown) if written is None else written.run
    run.__doc__ = _help(operation)
    build = functools.partial(request_of, operation.request_type)
    return api_options(add_parameters(options_of(operation.request_type), build, behind=1)(run))


def _derived(operation: Operation[Any, Any], shown: ResultView[Any] | None) -> Callable[..., None]:
    """Return a function that calls an operation and prints its result."""
    print_once = _print_list if _is_list(operation) else _print_result
    limit, watched = _default_limit(operation), shown is not None and shown.watch

    def run(
        call: Call, request: Any, limit: int | None = limit, watch: float | None = None
    ) -> None:
        call.repeat(lambda: print_once(call, operation, request, shown, limit), watch)

    options: dict[str, Any] = {
        "call": (Call, REQUIRED),
        "request": (operation.request_type, REQUIRED),
    }
    options |= {} if limit is None else {"limit": (Limit, limit)}
    options |= {"watch": (WatchOption, None)} if watched else {}
    set_parameters(run, options)
    return run


def _print_result(
    call: Call,
    operation: Operation[Any, Any],
    request: Any,
    shown: ResultView[Any] | None,
    _: object,
) -> None:
    answer = call.run(operation, request)
    if call.json:
        answer.print()
    elif shown is None:
        print_record(answer.value)
    else:
        shown.show(call, answer.value)


def _print_list(
    call: Call,
    operation: Operation[Any, Any],
    request: Any,
    shown: ResultView[Any] | None,
    limit: int | None,
) -> None:
    items = call.items_of(operation, request, limit)
    if call.json:
        print_json({"items": items})
    elif not items:
        echo((shown and shown.empty) or f"No {_plural(operation)}.")
    elif shown is None:
        print_items(items)
    else:
        shown.show(call, items)


def _default_limit(operation: Operation[Any, Any]) -> int | None:
    command = operation.declaration.command
    return None if command is None else command.limit


def _is_list(operation: Operation[Any, Any]) -> bool:
    return get_origin(operation.result_type) is Page


def _plural(operation: Operation[Any, Any]) -> str:
    """Return what a list is of: the end of its path."""
    return operation.http.paths[0].path.rpartition("/")[2]


def _help(operation: Operation[Any, Any]) -> str:
    """Return the help of a command: what its operation does, and an example."""
    command = operation.declaration.command or Command("")
    arguments = command.example
    if arguments is None:
        arguments = shell_words(operation.declaration.request)
    example = f"busway {command.words} {arguments}".rstrip()
    return f"{operation.description}\n\nExample: `{example}`"
