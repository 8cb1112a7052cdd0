"""The options of a command are derived from the fields of a request, and give it back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from busway.cli.parameter import add_parameters
from busway.cli.request_option import options_of, request_of, shell_words
from busway.control.field import Time, argument, option
from busway.control.page import PageRequest
from busway.errors import BuswayError


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    state: Annotated[str, option("Parked ones.", "--parked", value="parked")] = "dead"
    since: Annotated[Time | None, option("Failed then or later.")] = None
    where: Annotated[tuple[str, ...], option("A condition.")] = ()


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, argument("The name.")]
    filter: Filter | None = None
    lasts: Annotated[str | None, option("How long.")] = msgspec.field(default=None, name="for")
    max_count: Annotated[int, option("How many.", ge=1, le=9)] = 3
    all: Annotated[bool, option("All of them.")] = False
    patch: Annotated[str | None, option("A file.", from_file=True)] = None
    hidden: Annotated[str, option("Only over HTTP.", shown=False)] = "x"


class ListAll(PageRequest, frozen=True, kw_only=True):
    kind: Annotated[str | None, option("Of this kind.")] = None


def given(record: type[msgspec.Struct], *words: str) -> Any:
    """Return the request that a command line gives, by a real Typer command."""
    requests: list[Any] = []
    app = typer.Typer()
    run = add_parameters(options_of(record), lambda values: request_of(record, values))

    def keep(request: Any) -> None:
        requests.append(request)

    app.command()(run(keep))
    ended = CliRunner().invoke(app, words, catch_exceptions=False)
    if ended.exit_code:
        raise BuswayError(ended.output)
    return requests[0]


def test_what_is_not_given_is_the_default() -> None:
    assert given(Ask, "orders") == Ask(name="orders")


def test_an_option_has_the_word_of_its_field() -> None:
    request = given(Ask, "orders", "--for", "2h", "--max-count", "5", "--all")
    assert request == Ask(name="orders", lasts="2h", max_count=5, all=True)


def test_fields_of_a_record_are_options_of_the_command() -> None:
    words = ("a", "--parked", "--since", "2026-03-01T12:00:00Z", "--where", "x=1", "--where", "y=2")
    since = datetime(2026, 3, 1, 12, tzinfo=UTC)
    wanted = Filter(state="parked", since=since, where=("x=1", "y=2"))
    assert given(Ask, *words) == Ask(name="a", filter=wanted)


def test_a_file_gives_its_content(tmp_path: Path) -> None:
    (tmp_path / "patch.py").write_text("def patch(event): ...\n")
    request = given(Ask, "a", "--patch", str(tmp_path / "patch.py"))
    assert request.patch == "def patch(event): ...\n"
    with pytest.raises(BuswayError, match="cannot be read"):
        given(Ask, "a", "--patch", str(tmp_path / "missing.py"))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "Missing argument 'NAME'"),
        (("a", "--max-count", "10"), "less than or equal to 9"),
        (("a", "--hidden", "y"), "No such option"),
    ],
)
def test_what_a_field_cannot_have_is_refused(words: tuple[str, ...], reason: str) -> None:
    with pytest.raises(BuswayError) as refused:
        given(Ask, *words)
    assert reason in str(refused.value)


def test_a_list_has_no_options_for_its_pages() -> None:
    assert list(options_of(ListAll)) == ["kind"]


def test_the_words_of_an_example_give_the_example() -> None:
    example = Ask(
        name="Ann Lee", filter=Filter(state="parked", where=("x=1",)), lasts="2h", all=True
    )
    words = shell_words(example)
    assert words == '"Ann Lee" --parked --where x=1 --for 2h --all'
    assert shell_words(Ask(name="a", filter=Filter(where=("x=1",)))) == "a --where x=1"
    assert given(Ask, "Ann Lee", "--parked", "--where", "x=1", "--for", "2h", "--all") == example
