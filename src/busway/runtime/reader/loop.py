"""The loop of one reader: reads while this worker has it and nobody has paused it."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from busway.errors import StoreError
from busway.ports import ReaderSource
from busway.runtime.loop import Loop
from busway.runtime.reader.reader_record import ReaderTaken
from busway.runtime.reader.session import ReaderHost, ReaderSession
from busway.runtime.signal import Signal

LOOK_EVERY_S = 0.5
"""How often it looks whether it may still read."""

_log = structlog.get_logger("busway")


class ReaderLoop:
    """Opens its source when ``allowed`` says so, and lets go of it when it does not."""

    def __init__(
        self, source: ReaderSource, host: ReaderHost, allowed: Callable[[str], bool]
    ) -> None:
        self.source = source
        self._host = host
        self._allowed = allowed
        self._session: ReaderSession | None = None
        self._changed = Signal(host.clock)

    def wake(self) -> None:
        """Look now whether it may read."""
        self._changed.notify()

    async def turn(self, loop: Loop) -> None:
        """Read for a while, or wait until it may."""
        if not self._may_read():
            await self._close()
            with loop.interruptible():
                await self._changed.wait(LOOK_EVERY_S)
            return
        try:
            await self._read(loop)
        except ReaderTaken:
            await self._drop()
            _log.info("another worker reads from a source now", source=self.source.name)
            with loop.interruptible():
                await self._changed.wait(LOOK_EVERY_S)
        except StoreError:
            await self._drop()
            raise
        except Exception as error:
            await self._fail(error)
            raise
        except BaseException:
            await self._close()
            raise

    async def _read(self, loop: Loop) -> None:
        """Read until it is clear that the source can be read: until then no turn is a success."""
        session = self._session
        if session is None:
            session = self._session = ReaderSession(self.source, self._host, self._may_read)
            await session.open()
            _log.info("source opened", source=self.source.name)
        while self._may_read():
            task = session.reading(self._changed.notify)
            wait_s = session.wait_s()
            if not task.done() and wait_s != 0.0:
                with loop.interruptible():
                    await self._changed.wait(min(wait_s or LOOK_EVERY_S, LOOK_EVERY_S))
            await session.advance()
            if session.proven:
                return

    def _may_read(self) -> bool:
        return self._allowed(self.source.name)

    async def _close(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        try:
            await session.close()
        except ReaderTaken:
            return
        _log.info("source closed", source=self.source.name)

    async def _drop(self) -> None:
        """Let go without saving: the record is somebody else's, or cannot be written now."""
        session, self._session = self._session, None
        if session is not None:
            await session.release()

    async def _fail(self, error: Exception) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        try:
            await session.fail(error)
        except (StoreError, ReaderTaken) as other:
            _log.warning(
                "the error of a source is not kept", source=self.source.name, error=str(other)
            )
        finally:
            await session.release()
