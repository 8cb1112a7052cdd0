"""The jsonl sink against real files."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from busway.errors import SinkError
from busway.event import Event
from busway.outcome import DELIVERED, Down, Rejected
from busway.ports import Destination
from busway.sinks import jsonl
from sink_load import KeptEvents, again, an_item, fresh, rows
from small_files import small_files


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Destination]:
    destination = await jsonl(str(path)).open(KeptEvents())
    try:
        yield destination
    finally:
        await destination.close()


def ids(path: Path) -> list[int]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out" / "orders.jsonl"


async def test_appends_one_line_a_result(path: Path) -> None:
    event = Event.from_json(b'{"specversion":"1.0",\n"id":"1","source":"/s","type":"t"}')
    async with opened(path) as destination:
        item = an_item(0, {"id": 1}, {"id": 2}, event)
        assert await destination.write(fresh([item])) == [DELIVERED]
    assert path.read_text() == (
        '{"id":1}\n{"id":2}\n{"specversion":"1.0","id":"1","source":"/s","type":"t"}\n'
    )


async def test_value_that_is_not_json_is_rejected_and_delivered_when_fixed(path: Path) -> None:
    async with opened(path) as destination:
        items = [*rows(0, 1), an_item(1, {"id": 1}, {"id": object()}), *rows(2, 3)]
        outcomes = await destination.write(fresh(items))
        assert outcomes[::2] == [DELIVERED, DELIVERED]
        assert isinstance(outcomes[1], Rejected)
        assert await destination.write(again(rows(1, 2))) == [DELIVERED]
    assert ids(path) == [0, 2, 1]


async def test_open_truncates_the_remains_of_a_crash(path: Path) -> None:
    async with opened(path) as destination:
        await destination.write(fresh(rows(0, 2)))
    with path.open("a") as file:
        file.write('{"id":2}\n{"id')
    async with opened(path) as destination:
        assert ids(path) == [0, 1]
        await destination.write(fresh(rows(2, 4)))
    assert ids(path) == [0, 1, 2, 3]


async def test_write_truncates_the_remains_of_a_crash(path: Path) -> None:
    async with opened(path) as destination:
        await destination.write(fresh(rows(0, 2)))
        with path.open("a") as file:
            file.write('{"id":2}\n{"id')
        await destination.write(fresh(rows(2, 4)))
    assert ids(path) == [0, 1, 2, 3]


async def test_existing_content_is_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"id":-1}')
    async with opened(path) as destination:
        await destination.write(fresh(rows(0, 2)))
    assert ids(path) == [-1, 0, 1]


@pytest.mark.parametrize("left", [None, "", '{"id":0}\n{"i'])
async def test_goes_on_behind_a_file_that_a_person_cut_or_moved(
    path: Path, left: str | None
) -> None:
    async with opened(path) as destination:
        await destination.write(fresh(rows(0, 3)))
        if left is None:
            path.rename(path.with_suffix(".old"))
        else:
            path.write_text(left)
        assert await destination.write(fresh(rows(3, 4))) == [DELIVERED]
        assert await destination.write(fresh(rows(4, 5))) == [DELIVERED]
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()[-2:]] == [3, 4]
    assert path.read_text().startswith(left or '{"id":3')


async def test_a_write_that_fails_is_down_and_leaves_no_half_a_line(path: Path) -> None:
    wide = [an_item(n, {"id": n, "name": "x" * 1000}) for n in range(1, 600)]
    async with opened(path) as destination:
        await destination.write(fresh(rows(0, 1)))
        with small_files(300_000):
            outcomes = await destination.write(fresh(wide))
        assert {type(outcome) for outcome in outcomes} == {Down}
        assert ids(path) == [0]
        assert set(await destination.write(fresh(wide))) == {DELIVERED}
    assert ids(path) == list(range(600))


async def test_a_place_that_cannot_be_written_is_down_until_it_can(tmp_path: Path) -> None:
    blocker = tmp_path / "out"
    blocker.write_text("a file where a directory should be")
    async with opened(blocker / "orders.jsonl") as destination:
        (outcome,) = await destination.write(fresh(rows(0, 1)))
        assert isinstance(outcome, Down)
        blocker.unlink()
        assert await destination.write(fresh(rows(0, 1))) == [DELIVERED]


@pytest.mark.parametrize("path", ["", "out/"])
async def test_invalid_path_raises_sink_error(path: str) -> None:
    with pytest.raises(SinkError):
        await jsonl(path).open(KeptEvents())
