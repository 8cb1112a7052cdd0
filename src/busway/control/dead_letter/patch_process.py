"""Run a patch in a process of its own: one request per event, and a kill at the end.

The process has its own session, an empty environment, none of the server's open files, and limits
of memory, time and output (:mod:`busway.control.dead_letter.patch_limits`). Its replies are not
trusted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator

import msgspec

from busway.control.dead_letter.patch_child import LENGTH, PatchReply, PatchTask
from busway.errors import BuswayError

START_TIMEOUT_S = 30.0
"""The time-out for starting the process, which does not depend on the patch."""
MAX_BYTES = 8 * 1024 * 1024
"""The largest result of a patch for one event."""
_BEGIN = "import sys; sys.path[:] = {path!r}; from {module} import main; main()"
_MODULE = "busway.control.dead_letter.patch_child"
_read_reply = msgspec.msgpack.Decoder(PatchReply).decode


class PatchProcessEnded(Exception):
    """The process has ended or has to be ended; the text says why."""


class PatchProcess:
    """A process with one loaded patch."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, event: bytes, attempt: int, timeout_s: float) -> PatchReply:
        """Return the result of the patch for an event. Raises :class:`PatchProcessEnded`."""
        await self._send(msgspec.msgpack.encode(PatchTask(event, attempt)))
        return await self._reply(timeout_s)

    async def load(self, source: str, timeout_s: float) -> None:
        """Load the patch. Raises :class:`BuswayError` if it is not usable."""
        try:
            await self._send(source.encode("utf-8", "surrogatepass"))
            await self._reply(START_TIMEOUT_S)
            reply = await self._reply(timeout_s)
        except PatchProcessEnded as error:
            raise BuswayError(f"the patch cannot be loaded: {error}") from error
        if reply.error:
            raise BuswayError(reply.error)

    async def end(self) -> None:
        """Kill the process and its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._drain()
        await self._process.wait()

    async def _drain(self) -> None:
        """Discard the remaining output: asyncio waits for its end."""
        reader = self._process.stdout
        while reader is not None and await reader.read(MAX_BYTES):
            pass

    async def _send(self, body: bytes) -> None:
        if self._process.stdin is None:
            return
        with contextlib.suppress(OSError):  # the process has ended: reading the reply reports that
            self._process.stdin.write(LENGTH.pack(len(body)) + body)
            await asyncio.wait_for(self._process.stdin.drain(), START_TIMEOUT_S)

    async def _reply(self, timeout_s: float) -> PatchReply:
        try:
            return _read_reply(await asyncio.wait_for(self._body(), timeout_s))
        except TimeoutError as error:
            raise PatchProcessEnded(f"StepTimeout: the patch took over {timeout_s:g} s") from error
        except asyncio.IncompleteReadError as error:
            raise PatchProcessEnded(await self._why()) from error
        except msgspec.MsgspecError as error:
            raise PatchProcessEnded("the process of the patch wrote an invalid reply") from error

    async def _body(self) -> bytes:
        reader = self._process.stdout
        if reader is None:
            return b""
        (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
        if size > MAX_BYTES:
            raise PatchProcessEnded(
                f"the patch returned {size:,} bytes; at most {MAX_BYTES:,} are allowed"
            )
        return await reader.readexactly(size)

    async def _why(self) -> str:
        code = await self._process.wait()
        if code >= 0:
            return f"the patch ended its process (exit code {code})"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"the process of the patch was ended by {name}; memory and time are limited"


@contextlib.asynccontextmanager
async def run_patch_process(source: str, timeout_s: float) -> AsyncIterator[PatchProcess]:
    """Run a process with a loaded patch during the block.

    Raises :class:`BuswayError` if the patch cannot be loaded within ``timeout_s``.
    """
    path = [entry for entry in sys.path if entry]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-c",
        _BEGIN.format(path=path, module=_MODULE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd="/",
        env={},
        start_new_session=True,
    )
    patch_process = PatchProcess(process)
    try:
        await patch_process.load(source, timeout_s)
        yield patch_process
    finally:
        await asyncio.shield(patch_process.end())
