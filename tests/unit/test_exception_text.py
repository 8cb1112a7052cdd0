"""Whatever an exception is, there is a text of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from busway.errors import Interruption
from busway.exception_text import ExceptionText, exception_line, exception_text


class Unshowable(Exception):
    def __str__(self) -> str:
        raise ValueError("no")

    __repr__ = __str__


class Quits(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class NotText(Exception):
    def __str__(self) -> str:
        number: object = 7
        return number  # type: ignore[return-value]


class OddText(str):
    def __getitem__(self, key: object) -> str:
        raise RuntimeError("never")

    def encode(self, *_: object) -> bytes:
        raise RuntimeError("never")


class Odd(Exception):
    def __str__(self) -> str:
        return OddText("odd")


class NoTrace(Exception):
    @property
    def __cause__(self) -> BaseException:  # type: ignore[override]
        raise RuntimeError("never")

    @property
    def __suppress_context__(self) -> bool:  # type: ignore[override]
        raise RuntimeError("never")


def long_chain() -> BaseException:
    error: BaseException = ValueError("first")
    for number in range(2_000):
        after = KeyError(number)
        after.__cause__ = error
        error = after
    return error


def circle() -> BaseException:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    return first


def noted() -> BaseException:
    error = ValueError("noted")
    error.__notes__ = 7  # type: ignore[assignment]
    return error


ERRORS: list[Callable[[], BaseException]] = [
    lambda: SyntaxError("bad template", ("page.tpl", 3, "12", "{% if %}")),  # type: ignore[arg-type]
    lambda: SyntaxError("bad", ("f", -1, -1, "\ud800", "x", None)),  # type: ignore[arg-type]
    lambda: UnicodeEncodeError("utf-8", "\ud800" * 3, 0, 3, "no"),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 10**6, "far off"),
    Unshowable,
    Quits,
    NotText,
    Odd,
    NoTrace,
    long_chain,
    circle,
    noted,
    lambda: ValueError("x" * 10_000_000),
    lambda: ValueError("x", ["y"] * 1_000_000),
    lambda: ExceptionGroup("many", [ValueError(str(n)) for n in range(1_000)]),
    lambda: ExceptionGroup("in", [ExceptionGroup("out", [Unshowable()])]),
    lambda: type("N" * 100_000, (Exception,), {})("long name"),
    lambda: type("\ud800", (Exception,), {})("odd name"),
    RecursionError,
    KeyboardInterrupt,
]


def raising(make: Callable[[], BaseException]) -> None:
    raise make()


def raised(make: Callable[[], BaseException]) -> BaseException:
    try:
        raising(make)
    except BaseException as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("make", ERRORS)
def test_there_is_a_bounded_text(make: Callable[[], BaseException]) -> None:
    error = raised(make)
    text = exception_text(error)
    json.dumps([text.name, text.reason, text.traceback]).encode()
    text.line.encode()
    assert text.name
    assert len(text.name) <= 200
    assert len(text.reason) <= 4_000
    assert len(text.traceback) <= 4_000
    if not isinstance(error, NoTrace):
        assert "in raising" in text.traceback
    assert exception_line(error) == text.line


def test_a_usual_one_is_shown_as_python_does() -> None:
    def fails() -> None:
        try:
            raising(lambda: KeyError("a"))
        except KeyError as error:
            raise ValueError("no a") from error

    try:
        fails()
    except ValueError as error:
        text = exception_text(error)
    assert (text.name, text.reason, text.line) == ("ValueError", "no a", "ValueError: no a")
    assert text.traceback.startswith("Traceback (most recent call last):\n")
    cause, after = text.traceback.split("The above exception was the direct cause of")
    assert "KeyError: 'a'\n" in cause
    assert after.endswith("ValueError: no a\n")


def test_frames_that_lead_to_the_failing_code_are_left_out() -> None:
    error = raised(lambda: ValueError("x"))
    assert "in raising" not in exception_text(error, skip_frames_of="test_exception_text").traceback


def test_an_interruption_of_the_showing_passes() -> None:
    class Slow(Exception):
        def __str__(self) -> str:
            raise Interruption

    with pytest.raises(Interruption):
        exception_text(Slow())


def test_a_line_without_a_message_is_the_name() -> None:
    assert ExceptionText("KeyError", "", "").line == "KeyError"
