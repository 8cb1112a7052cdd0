"""Files that sinks make: for their owner alone, or as asked; never through a link from outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from busway.errors import SinkError
from busway.outcome import Delivered
from busway.ports import Destination
from busway.sink.file.creation import create_file
from busway.sink.jsonl.sink import JsonlInFolder
from busway.sinks import jsonl, sqlite
from sink_load import KeptEvents, an_item, fresh

LOAD = fresh([an_item(0, {"n": 1})])


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    """Set a umask that would let everybody read and write."""
    before = os.umask(0)
    yield
    os.umask(before)


def permissions(folder: Path) -> dict[str, str]:
    return {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()}


async def test_a_jsonl_file_and_its_positions_are_private(tmp_path: Path) -> None:
    destination = await jsonl(str(tmp_path / "a.jsonl")).open(KeptEvents())
    try:
        await destination.write(LOAD)
        found = permissions(tmp_path)
    finally:
        await destination.close()
    assert {"a.jsonl", "a.jsonl.busway", "a.jsonl.busway-wal"} <= found.keys()
    assert set(found.values()) == {"0o600"}


async def test_a_database_and_what_lies_beside_it_are_private(tmp_path: Path) -> None:
    destination = await sqlite(str(tmp_path / "a.db"), table="t", create=True).open(KeptEvents())
    try:
        await destination.write(LOAD)
        found = permissions(tmp_path)
    finally:
        await destination.close()
    assert {"a.db", "a.db-wal", "a.db-shm"} <= found.keys()
    assert set(found.values()) == {"0o600"}


@pytest.mark.parametrize("mode", ["0640", "640", 0o640])
async def test_new_files_get_the_declared_permissions(tmp_path: Path, mode: str | int) -> None:
    os.umask(0o077)
    for made in (
        await jsonl(str(tmp_path / "a.jsonl"), mode=mode).open(KeptEvents()),
        await sqlite(str(tmp_path / "a.db"), table="t", create=True, mode=mode).open(KeptEvents()),
    ):
        await made.write(LOAD)
        await made.close()
    assert set(permissions(tmp_path).values()) == {"0o640"}


async def test_existing_file_keeps_its_permissions(tmp_path: Path) -> None:
    there = tmp_path / "a.jsonl"
    there.touch(0o644)
    destination = await jsonl(str(there)).open(KeptEvents())
    await destination.close()
    assert permissions(tmp_path)["a.jsonl"] == "0o644"


@pytest.mark.parametrize("mode", ["rw", "0999", -1, 0o1777, "0440"])
async def test_other_permissions_are_refused(tmp_path: Path, mode: str | int) -> None:
    with pytest.raises(SinkError, match="mode="):
        await jsonl(str(tmp_path / "a"), mode=mode).open(KeptEvents())
    with pytest.raises(SinkError, match="mode="):
        await sqlite(str(tmp_path / "a"), "t", mode=mode).open(KeptEvents())


async def opened(folder: Path) -> Destination:
    return await JsonlInFolder(folder, "again.jsonl").open(KeptEvents())


async def test_a_file_in_a_folder_is_made_with_the_folder(tmp_path: Path) -> None:
    os.umask(0o022)
    destination = await opened(tmp_path / "data" / "replays")
    (outcome,) = await destination.write(LOAD)
    await destination.close()
    assert isinstance(outcome, Delivered)
    assert (tmp_path / "data" / "replays").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / "replays" / "again.jsonl").read_text() == '{"n":1}\n'


@pytest.mark.parametrize("link", ["again.jsonl", "again.jsonl.busway"])
@pytest.mark.parametrize("there", [True, False])
async def test_a_link_in_the_folder_is_not_followed(tmp_path: Path, link: str, there: bool) -> None:
    folder, outside = tmp_path / "replays", tmp_path / "outside"
    folder.mkdir()
    if there and link.endswith(".busway"):
        apsw.Connection(str(outside)).execute("CREATE TABLE t (n)")
    elif there:
        outside.write_bytes(b"precious\n")
    before = outside.read_bytes() if there else b""
    (folder / link).symlink_to(outside)
    destination = await opened(folder)
    (outcome,) = await destination.write(LOAD)
    await destination.close()
    assert not isinstance(outcome, Delivered)
    assert (outside.exists(), outside.read_bytes() if there else b"") == (there, before)


def test_non_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="regular file"):
        create_file(tmp_path / "pipe", 0o600, follow_symlinks=False)
