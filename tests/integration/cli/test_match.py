"""``busway match``: yes with 0, no and why with 1, a mistake with 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from command import busway

PATTERN = '{"type": ["order.created"], "data": {"total": [{"numeric": [">", 100]}]}}'
EVENT = '{"type": "order.created", "data": {"total": 250}}'
SMALL = '{"type": "order.created", "data": {"total": 99}}'


def test_yes(tmp_path: Path) -> None:
    ended = busway("match", PATTERN, EVENT, cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "yes\n")
    as_json = busway("match", PATTERN, EVENT, "--json", cwd=tmp_path)
    assert (as_json.code, as_json.json()) == (0, {"matches": True, "why_not": None})


def test_no_and_why(tmp_path: Path) -> None:
    ended = busway("match", PATTERN, SMALL, cwd=tmp_path)
    assert ended.code == 1
    assert ended.out.startswith("no: $.data.total")
    assert "99" in ended.out
    as_json = busway("match", PATTERN, SMALL, "--json", cwd=tmp_path)
    assert (as_json.code, as_json.json()["matches"]) == (1, False)
    assert "99" in str(as_json.json()["why_not"])


def test_files_and_standard_input(tmp_path: Path) -> None:
    (tmp_path / "pattern.json").write_text(PATTERN)
    assert busway("match", "pattern.json", "-", cwd=tmp_path, stdin=EVENT).code == 0


@pytest.mark.parametrize(
    ("pattern", "event", "says"),
    [
        ('{"type": "a"}', EVENT, '$.type: "a" must be a list'),
        ('{"type": [{"near": "a"}]}', EVENT, "$.type"),
        ("{nonsense", EVENT, "JSON"),
        (PATTERN, "[]", "the event is not a JSON object"),
        (PATTERN, "{nonsense", "the event is not a JSON object"),
        (PATTERN, "nofile.json", "nofile.json: No such file or directory"),
        (".", EVENT, ".: Is a directory"),
    ],
)
def test_a_mistake_is_2(tmp_path: Path, pattern: str, event: str, says: str) -> None:
    ended = busway("match", pattern, event, cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("busway: ")
    assert says in ended.err
    assert "Traceback" not in ended.err
