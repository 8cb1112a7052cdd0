"""A patch in a process of its own, as the server sees it: asked event by event, ended for good.

The process has a session of its own, an empty environment, none of the server's files, and limits
of memory, time and output
(:mod:`busway.control.dead_letter.patch_limits`). Its answers are not trusted.
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
"""How long a process may take to be there, which is not the patch's fault."""
MAX_BYTES = 8 * 1024 * 1024
"""How large what a patch makes of one event may be."""
_BEGIN = "import sys; sys.path[:] = {path!r}; from {module} import main; main()"
_MODULE = "busway.control.dead_letter.patch_child"
_read_reply = msgspec.msgpack.Decoder(PatchReply).decode


class PatchProcessEnded(Exception):
    """The process is there no more, or is to be ended: the text says why."""


class PatchProcess:
    """One process with one patch, loaded."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, event: bytes, attempt: int, timeout_s: float) -> PatchReply:
        """Return what the patch makes of an event. Raises :class:`PatchProcessEnded`."""
        await self._send(msgspec.msgpack.encode(PatchTask(event, attempt)))
        return await self._reply(timeout_s)

    async def load(self, source: str, timeout_s: float) -> None:
        """Load the patch. Raises :class:`BuswayError` for one that cannot be used."""
        try:
            await self._send(source.encode("utf-8", "surrogatepass"))
            await self._reply(START_TIMEOUT_S)
            reply = await self._reply(timeout_s)
        except PatchProcessEnded as error:
            raise BuswayError(f"the patch cannot be loaded: {error}") from error
        if reply.error:
            raise BuswayError(reply.error)

    async def end(self) -> None:
        """Kill it, and whatever it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._drain()
        await self._process.wait()

    async def _drain(self) -> None:
        """Read what it has written and nobody wants: asyncio waits for the end of its output."""
        reader = self._process.stdout
        while reader is not None and await reader.read(MAX_BYTES):
            pass

    async def _send(self, body: bytes) -> None:
        if self._process.stdin is None:
            return
        with contextlib.suppress(OSError):  # it has ended: its answer says so
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
            raise PatchProcessEnded("the process of the patch wrote an invalid answer") from error

    async def _body(self) -> bytes:
        reader = self._process.stdout
        if reader is None:
            return b""
        (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
        if size > MAX_BYTES:
            raise PatchProcessEnded(
                f"the patch returned {size:,} bytes; at most {MAX_BYTES:,} are taken"
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
    """Have a process with a patch, loaded, during the block.

    Raises :class:`BuswayError` for a patch that cannot be loaded within ``timeout_s``.
    """
    path = [place for place in sys.path if place]
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
    found = PatchProcess(process)
    try:
        await found.load(source, timeout_s)
        yield found
    finally:
        await asyncio.shield(found.end())
