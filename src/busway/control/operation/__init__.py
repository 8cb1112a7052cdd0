"""Operations: everything that an operator can do, each declared once.

An operation is a function that takes an :class:`OperationContext` and one record, and returns one
record. Its HTTP route, its entry in the OpenAPI document, its command, the command's options, help
and ``--json`` output are derived from the declaration::

    class ShowKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        name: Annotated[str, argument("The key's name.")]

    @operation(
        http("GET", "/keys/{name}", tag="keys"),
        command="keys show",
        summary="Show a key",
        request=ShowKey(name="shop"),
        result=KEY,
    )
    async def show_key(context: OperationContext, request: ShowKey) -> KeyStatus:
        \"\"\"Show a key, without its secret.\"\"\"

The operations of ``busway keys`` are in the module ``key`` of this package, which has the name of
the command in the singular. They are found there; nothing else lists them.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_type_hints

import msgspec

if TYPE_CHECKING:
    from busway.control.context import ControlContext

RequestT = TypeVar("RequestT", bound=msgspec.Struct)
ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)
Method = Literal["GET", "POST", "PUT", "DELETE"]


class OperationContext(msgspec.Struct, frozen=True, kw_only=True):
    """The stores and the clock to work on, and the actor that the audit trail names.

    ``expected`` is the record that the caller has read (``If-Match``): the operation raises
    :class:`~busway.errors.Conflict` if it has changed since. ``None``: the caller did not say.
    """

    control: ControlContext
    actor: str
    expected: Any = None


class NoRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The request of an operation that takes nothing."""


class Path(msgspec.Struct, frozen=True):
    """A path below ``/api/v1``, and the fields of the request that are fixed by choosing it."""

    path: str
    fixed: Mapping[str, Any] = {}


class HttpBinding(msgspec.Struct, frozen=True, kw_only=True):
    """How an operation is called over HTTP: see :func:`http`."""

    method: Method
    paths: tuple[Path, ...]
    tag: str
    status: int
    may_miss: bool = False
    slow: bool = False
    current: Operation[Any, Any] | None = None


def http(
    method: Method, *paths: str | Path, tag: str, status: int = 200, **more: Any
) -> HttpBinding:
    """Return how an operation is called over HTTP.

    Fields of the request that a path names are path parameters. The others are query parameters of
    a ``GET`` or ``DELETE``, and otherwise members of the JSON body. Further arguments:

    * ``may_miss=True``: a field outside the path names something that may not exist (404).
    * ``slow=True``: it may take minutes; the client waits without a time-out.
    * ``current``: the operation whose ETag the caller may send as ``If-Match``.
    """
    bound = tuple(path if isinstance(path, Path) else Path(path) for path in paths)
    return HttpBinding(method=method, paths=bound, tag=tag, status=status, **more)


class Command(msgspec.Struct, frozen=True):
    """The words of a command. A list prints at most ``limit`` items by default (``None``: all).

    ``example`` has the arguments of the example in its help, where they are not the request's.
    """

    words: str
    limit: int | None = None
    example: str | None = None


class CommandGroup(msgspec.Struct, frozen=True):
    """Help for a word that begins commands and is none itself."""

    word: str
    description: str
    example: str


class OperationDeclaration(msgspec.Struct, frozen=True, kw_only=True):
    """What :func:`operation` is given: examples are records, so that they are always valid."""

    http: HttpBinding
    summary: str
    command: Command | None
    request: msgspec.Struct | None
    result: Any


class Operation(Generic[RequestT, ResultT_co]):
    """One declared operation; calling it runs it."""

    def __init__(
        self,
        run: Callable[[OperationContext, RequestT], Awaitable[ResultT_co]],
        declaration: OperationDeclaration,
    ) -> None:
        self._run = run
        self.declaration = declaration
        self.name: str = getattr(run, "__name__", "")
        self.module = run.__module__
        self.description = inspect.cleandoc(run.__doc__ or "")

    async def __call__(self, context: OperationContext, request: RequestT) -> ResultT_co:
        return await self._run(context, request)

    @property
    def http(self) -> HttpBinding:
        """How it is called over HTTP."""
        return self.declaration.http

    @cached_property
    def request_type(self) -> type[RequestT]:
        """The record that it takes."""
        return self._hints["request"]  # type: ignore[no-any-return]

    @cached_property
    def result_type(self) -> Any:
        """The record that it returns, or ``None``."""
        return self._hints["return"]

    @cached_property
    def _hints(self) -> dict[str, Any]:
        """The types of the record and the result; that of the context need not be loaded."""
        given = {
            name: hint for name, hint in self._run.__annotations__.items() if name != "context"
        }
        bare = type(self.name, (), {"__annotations__": given, "__module__": self.module})
        found = get_type_hints(bare, include_extras=True)
        return {name: None if hint is type(None) else hint for name, hint in found.items()}


def operation(
    binding: HttpBinding,
    *,
    summary: str,
    command: str | Command | None = None,
    request: msgspec.Struct | None = None,
    result: Any = None,
) -> Callable[
    [Callable[[OperationContext, RequestT], Awaitable[ResultT]]], Operation[RequestT, ResultT]
]:
    """Declare that a function is an operation.

    ``summary`` says what it does in a few words, the function's docstring in full. ``request`` and
    ``result`` are examples. Without a ``command`` the operation is reached over HTTP only.
    """
    words = Command(command) if isinstance(command, str) else command
    declaration = OperationDeclaration(
        http=binding, summary=summary, command=words, request=request, result=result
    )
    return lambda run: Operation(run, declaration)
