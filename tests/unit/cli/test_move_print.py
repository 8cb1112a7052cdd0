"""How far a move is, in lines."""

from __future__ import annotations

import json

import pytest

from busway.cli.command.move_print import move_progress, print_plan, print_report
from busway.control.move.mover import MovePlan, MoveReport


def test_each_step_is_told_at_its_beginning_and_once_at_its_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with move_progress(json=False) as show:
        for done in (0, 5, 10, 10):
            show.tell("events", done, 10)
        for done in (10, 10):
            show.tell("records", done, 10)
    told = ["events: 0 of 10", "events: 10 of 10", "records: 10 of 10"]
    assert capsys.readouterr().err.splitlines() == told


def test_json_tells_everything_once(capsys: pytest.CaptureFixture[str]) -> None:
    with move_progress(json=True) as show:
        for done in (0, 5, 10, 10):
            show.tell("records", done, 10)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["done"] for line in lines] == [0, 5, 10]


def test_a_plan_and_a_report_are_several_lines(capsys: pytest.CaptureFixture[str]) -> None:
    plan = MovePlan(".busway", "postgresql://db.example/busway", "free", 4, 10, 1024, 4, 0, 1, 25)
    print_plan(plan, json=False)
    print_report(MoveReport(plan, (), 25), json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "from  .busway"
    assert lines[2].startswith("      10 events in 4 partitions")
    assert lines[-1].startswith(".busway is marked as moved;")
    assert len(lines) == 7
