"""Records that no command prints in its own way."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from busway.cli.record_view import print_items, print_record


class Item(msgspec.Struct, frozen=True):
    name: str
    created_at: datetime
    scopes: tuple[str, ...] = ()
    used_at: datetime | None = None
    events: int = 0
    open: bool = False


AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_record_is_a_field_in_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_record(Item("shop", AT, ("intake", "admin"), events=1_200))
    assert [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()] == [
        ["name", "shop"],
        ["created", "2026-03-01 12:00:00"],
        ["scopes", "intake, admin"],
        ["used", "-"],
        ["events", "1200"],
        ["open", "no"],
    ]


def test_records_are_rows(capsys: pytest.CaptureFixture[str]) -> None:
    print_items([Item("a", AT, events=1_200), Item("b", AT, open=True)])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "created", "scopes", "used", "events", "open"]
    assert [row.split() for row in rows] == [
        ["a", "2026-03-01", "12:00:00", "-", "-", "1,200", "no"],
        ["b", "2026-03-01", "12:00:00", "-", "-", "0", "yes"],
    ]


def test_no_record_is_no_output(capsys: pytest.CaptureFixture[str]) -> None:
    print_record(None)
    assert capsys.readouterr().out == ""
