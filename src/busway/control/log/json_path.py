"""Evaluate JSON paths from callers (RFC 9535) on events, within a work limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jsonpath
from jsonpath.filter import BaseExpression, RegexLiteral, StringLiteral
from jsonpath.function_extensions import ExpressionType, FilterFunction
from jsonpath.parse import Parser
from jsonpath.path import CompoundJSONPath
from jsonpath.segments import (
    JSONPathChildSegment,
    JSONPathRecursiveDescentSegment,
    JSONPathSegment,
)
from jsonpath.stream import TokenStream
from jsonpath.token import TOKEN_RE_FLAGS, Token

from busway.control.log.regular_expression import Regex
from busway.errors import BuswayError

MAX_WORK = 1_000_000
"""The largest number of values that a path may visit in one event: a second or two of work;
comparisons and regular expressions count too."""
_KEPT_EXPRESSIONS = 100
_FLAGS = "ims"


class JsonPathLimitExceeded(BuswayError):
    """A path exceeds the work limit for one event."""


class JsonPath:
    """A compiled path, for one thread at a time.

    Raises :class:`BuswayError` for an invalid path; :meth:`find` raises it for an event in which
    the path exceeds the work limit.
    """

    def __init__(self, text: str) -> None:
        self._work = _WorkBudget()
        try:
            self._path = _Environment(self._work).compile(text)
        except jsonpath.JSONPathError as error:
            raise BuswayError(str(error).splitlines()[0]) from error
        except RecursionError as error:
            raise BuswayError("it is nested too deeply") from error
        except (
            ArithmeticError,
            ValueError,
        ) as error:  # raised by the library for a number in the path
            raise BuswayError(f"it has a number that cannot be read: {error}") from error
        if isinstance(self._path, CompoundJSONPath) and _intersects(self._path):
            raise BuswayError("RFC 9535 has no intersection (&); use && in a filter, or two wheres")

    def find(self, members: Mapping[str, Any]) -> Sequence[object]:
        """Return the values at the path in an event."""
        self._work.remaining = MAX_WORK
        try:
            return self._path.findall(members)
        except BuswayError:
            raise
        except Exception as error:  # raised by the library for an unexpected event
            cause = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise JsonPathLimitExceeded(f"it cannot be evaluated on an event: {cause}") from error


class _WorkBudget:
    """The remaining work for one event."""

    def __init__(self) -> None:
        self.remaining = MAX_WORK

    def spend(self, units: int) -> None:
        self.remaining -= units
        if self.remaining < 0:
            raise JsonPathLimitExceeded(
                "it visits too many values of one event; give a narrower path"
            )


class _Node(jsonpath.JSONPathMatch):
    """A node that counts as work. It keeps neither its path, which is as long as the keys above it,
    nor its children."""

    __slots__ = ("_spend",)

    def __init__(
        self, spend: Callable[[int], None], obj: object, above: jsonpath.JSONPathMatch
    ) -> None:
        spend(1)
        self._spend = spend
        super().__init__(
            filter_context=above.filter_context(),
            obj=obj,
            parent=None,
            parts=(),
            path="",
            root=above.root,
        )

    def new_child(self, obj: object, key: int | str) -> _Node:
        return _Node(self._spend, obj, self)

    def add_child(self, *children: jsonpath.JSONPathMatch) -> None:
        pass


_Nodes = Iterable[jsonpath.JSONPathMatch]


class _Child(JSONPathChildSegment):
    def resolve(self, nodes: _Nodes) -> _Nodes:
        return super().resolve(_charged(nodes, self.env))


class _Descendant(JSONPathRecursiveDescentSegment):
    def resolve(self, nodes: _Nodes) -> _Nodes:
        return super().resolve(_charged(nodes, self.env))

    def _visit(self, node: jsonpath.JSONPathMatch, depth: int = 1) -> _Nodes:
        """Yield a node and its descendants, with a loop instead of nested generators."""
        rest = [node]
        while rest:
            current = rest.pop()
            yield current
            children: Iterable[tuple[int | str, object]] = ()
            if isinstance(current.obj, dict):
                children = current.obj.items()
            elif isinstance(current.obj, list):
                children = enumerate(current.obj)
            nested = [
                current.new_child(v, key) for key, v in children if isinstance(v, dict | list)
            ]
            rest += reversed(nested)


def _charged(nodes: _Nodes, env: jsonpath.JSONPathEnvironment) -> _Nodes:
    spend = env.spend if isinstance(env, _Environment) else _WorkBudget().spend
    for node in nodes:
        yield node if isinstance(node, _Node) else _Node(spend, node.obj, node)


class _Environment(jsonpath.JSONPathEnvironment):
    def __init__(self, work: _WorkBudget) -> None:
        self.spend = work.spend
        self.parser_class = _Parser
        super().__init__()

    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        self.function_extensions["match"] = _RegexFunction(self.spend, Regex.fullmatch)
        self.function_extensions["search"] = _RegexFunction(self.spend, Regex.search)

    def validate_function_extension_signature(self, token: Token, args: list[Any]) -> list[Any]:
        """Also reject an invalid regular expression in the path itself."""
        validated = super().validate_function_extension_signature(token, args)
        function = self.function_extensions[token.value]
        if isinstance(function, _RegexFunction) and isinstance(validated[1], StringLiteral):
            function.check(validated[1].value)
        return validated

    def compare(self, left: object, operator: str, right: object) -> bool:
        self.spend(1)
        if operator in ("in", "contains"):
            self.spend(sum(map(_length, (left, right))))
        elif _length(left) and _length(right):
            self.spend(min(_size(left), _size(right)))
        try:
            return super().compare(left, operator, right)
        except TypeError:  # an object or array cannot be a member of an object
            return False


class _Parser(Parser):
    """Creates segments that count their work, and RE2 expressions for ``/…/``."""

    def parse_query(self, stream: TokenStream) -> tuple[JSONPathSegment, ...]:
        kinds = {
            JSONPathChildSegment: _Child,
            JSONPathRecursiveDescentSegment: _Descendant,
        }
        return tuple(
            kinds[type(segment)](env=segment.env, token=segment.token, selectors=segment.selectors)
            for segment in super().parse_query(stream)
        )

    def parse_regex(self, stream: TokenStream) -> BaseExpression:
        pattern, flags = stream.current().value, ""
        if stream.peek().kind == TOKEN_RE_FLAGS:
            stream.next()
            flags = "".join(sorted(set(stream.next().value) & set(_FLAGS)))
        spend = self.env.spend if isinstance(self.env, _Environment) else _WorkBudget().spend
        prefix = f"(?{flags})" if flags else ""
        return RegexLiteral(value=Regex(pattern, spend, prefix))  # type: ignore[arg-type]


class _RegexFunction(FilterFunction):
    """``match`` and ``search``; an invalid expression from the event itself matches nothing
    (RFC 9535, section 2.4.6)."""

    arg_types = [ExpressionType.VALUE, ExpressionType.VALUE]  # noqa: RUF012 - as the base has it
    return_type = ExpressionType.LOGICAL

    def __init__(self, spend: Callable[[int], None], match: Callable[[Regex, str], bool]) -> None:
        self._spend = spend
        self._match = match
        self._known: dict[str, Regex | None] = {}

    def check(self, pattern: str) -> None:
        """Raise :class:`BuswayError` for an invalid expression."""
        self._known[pattern] = Regex(pattern, self._spend)

    def __call__(self, value: object, pattern: object) -> bool:
        if not isinstance(value, str) or not isinstance(pattern, str):
            return False
        if pattern not in self._known:
            self._compile(pattern)
        regex = self._known[pattern]
        return regex is not None and self._match(regex, value)

    def _compile(self, pattern: str) -> None:
        self._spend(100 + len(pattern))
        if len(self._known) >= _KEPT_EXPRESSIONS:
            self._known.clear()
        try:
            self._known[pattern] = Regex(pattern, self._spend)
        except BuswayError:
            self._known[pattern] = None


def _intersects(path: CompoundJSONPath) -> bool:
    return any(operator == path.env.intersection_token for operator, _ in path.paths)


def _length(value: object) -> int:
    return len(value) if isinstance(value, list | dict) else 0


def _size(value: object) -> int:
    """Return the number of values in a value, itself included."""
    count, rest = 0, [value]
    while rest:
        current = rest.pop()
        count += 1
        if isinstance(current, dict):
            rest += current.values()
        elif isinstance(current, list):
            rest += current
    return count
