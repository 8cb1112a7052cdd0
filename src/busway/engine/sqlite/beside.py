"""The log as somebody sees it who looks on while another process works with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from busway.engine.sqlite.reader import LogReader
from busway.errors import StoreError
from busway.ports import Batch, Draft

_LOOK_EVERY_S = 0.05


class BesideLog:
    """A log that is read only: what would change it raises :class:`StoreError`."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path = path
        self._identity = identity
        self._reader = LogReader(path)
        self._partitions = len(self._reader.bounds())

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def partitions(self) -> int:
        return self._partitions

    async def append(self, drafts: Sequence[Draft], at: datetime) -> Sequence[int]:
        raise StoreError(f"{self._path} is open for reading only; send events to the server")

    async def trim(self, partition: int, offset: int) -> int:
        raise StoreError(f"{self._path} is open for reading only; the server trims it")

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[Batch]:
        return self._reader.read(partition, offset, max_bytes)

    async def bounds(self, partition: int) -> tuple[int, int]:
        return self._reader.bounds()[partition]

    async def offset_at(self, partition: int, at: datetime) -> int:
        found = self._reader.first_since(partition, at)
        return self._reader.bounds()[partition][1] if found is None else found

    async def size_bytes(self) -> int:
        return self._reader.size_bytes()

    async def wait(self, partition: int, offset: int) -> None:
        if self._reader.bounds()[partition][1] <= offset:
            await asyncio.sleep(_LOOK_EVERY_S)

    async def close(self) -> None:
        self._reader.close()
