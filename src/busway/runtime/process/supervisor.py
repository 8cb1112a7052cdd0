"""The supervisor: starts worker processes, and another one for each that ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog

from busway.clock import Clock
from busway.control.worker import forget_worker
from busway.errors import BuswayError, StoreError
from busway.exception_text import ExceptionText, exception_line
from busway.ports import Ledger
from busway.runtime.process.ipc import (
    ALIVE_INTERVAL_S,
    FAILED,
    LOG_GREW,
    METRICS,
    READY,
    RELOAD,
    IpcChannel,
)
from busway.runtime.stuck_loop import StuckLoops
from busway.runtime.worker.coordinator import new_worker_id

STABLE_AFTER_S = 60.0
"""After so long a worker's end is not of the same cause as that of the one before it."""
SILENCE_TIMEOUT_S = 8.0
"""How long a worker may say nothing. One that is stopped in the middle of a transaction keeps the
database locked, for the intake too, so it is killed, and what it had in hand is done again."""
_CLEAN_EXIT_CODES = (0, -signal.SIGTERM, -signal.SIGINT)
"""How a worker ends that is told to; by the signal itself where it had not begun to listen."""
_FIRST_DELAY_S, _MAX_DELAY_S = 0.5, 5.0

_log = structlog.get_logger("busway")


class WorkerCommand(msgspec.Struct, frozen=True):
    """How a worker is started: a command, to which ``--member`` and its membership are added."""

    command: Sequence[str]
    environment: Mapping[str, str]


class WorkerProcess(msgspec.Struct, frozen=True):
    """A worker of this machine: its id in the ledger, its process, and whether it works."""

    worker: str
    pid: int
    ready: bool


def restart_delay_s(failures: int) -> float:
    """Return how long to wait before another start, after so many ends one soon after another."""
    doublings = min(failures - 1, 10)  # a worker may fail for days
    return float(min(_FIRST_DELAY_S * 2**doublings, _MAX_DELAY_S))


class Supervisor:
    """Keeps ``count`` workers running from its start to its stop; they end when it dies.

    It hands on what one of them tells to all others, and so carries their :class:`WakeUps`.
    """

    def __init__(
        self, count: int, command: WorkerCommand, clock: Clock, silent_s: float = SILENCE_TIMEOUT_S
    ) -> None:
        self._command = command
        self._clock = clock
        self._slots = [_WorkerSlot(n, self._relay_hint, silent_s) for n in range(1, count + 1)]
        self._tasks: list[asyncio.Task[None]] = []
        self._on_hint: Callable[[], None] = lambda: None
        self._stopping = asyncio.Event()
        self._alive_read_end, self._alive_write_end = os.pipe()
        self.stuck_loops = StuckLoops(clock)
        """Where it is noted that workers end again and again."""

    @property
    def workers(self) -> Sequence[WorkerProcess]:
        """Those that run now."""
        return [one.status for one in self._slots if one.process is not None]

    def metrics(self) -> Mapping[str, str]:
        """Return what the workers that run told of their metrics last, by their numbers from 1."""
        return {str(n): one.metrics for n, one in enumerate(self._slots, 1) if one.metrics}

    def notify(self) -> None:
        for post in self._slots:
            post.hint()

    def subscribe(self, callback: Callable[[], None]) -> None:
        self._on_hint = callback

    def reload(self) -> None:
        """Have all workers work the flows file as it is now."""
        for post in self._slots:
            post.send(RELOAD)

    async def start(self, ledger: Ledger, lock: int | None) -> None:
        """Return when all work; ``lock`` is what they inherit of a data directory.

        Raises :class:`BuswayError` with what the first one said that could not start.
        """
        self._tasks = [
            asyncio.create_task(self._keep_running(one, ledger, lock)) for one in self._slots
        ]
        await asyncio.gather(*(post.first_ready for post in self._slots))

    async def stop(self, within_s: float) -> bool:
        """Have all finish what they have in hand; say whether they did, and in time."""
        self._stopping.set()
        for post in self._slots:
            post.signal(signal.SIGTERM)
        late = await self._wait_ended(within_s)
        for post in self._slots if late else ():
            if post.signal(signal.SIGKILL):
                _log.error("worker did not stop in time and was killed", pid=post.status.pid)
        await self._wait_ended(None)
        for descriptor in (self._alive_read_end, self._alive_write_end):
            os.close(descriptor)
        return not late and all(post.ended_cleanly for post in self._slots)

    async def _wait_ended(self, within_s: float | None) -> bool:
        """Wait for the workers to end; say whether one is left."""
        if not self._tasks:
            return False
        _, left = await asyncio.wait(self._tasks, timeout=within_s)
        return bool(left)

    def _relay_hint(self, sender: _WorkerSlot) -> None:
        self._on_hint()
        for post in self._slots:
            if post is not sender:
                post.hint()

    async def _keep_running(self, slot: _WorkerSlot, ledger: Ledger, lock: int | None) -> None:
        failures = 0
        inherited = [self._alive_read_end] if lock is None else [self._alive_read_end, lock]
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            worker = new_worker_id()
            steadily = asyncio.get_running_loop().call_later(
                STABLE_AFTER_S, self._mark_stable, slot
            )
            try:
                why = await slot.run(worker, self._command, inherited, self._stopping)
            except Exception as error:  # another one is started whatever became of it
                why = exception_line(error)
                slot.signal(signal.SIGKILL)
            steadily.cancel()
            with contextlib.suppress(StoreError):
                await forget_worker(ledger, worker)
            if self._stopping.is_set() or slot.never_worked:
                return
            steady = self._clock.monotonic() - began > STABLE_AFTER_S
            failures = 1 if steady else failures + 1
            self.stuck_loops.failed(
                slot.name, "", ExceptionText("it ended", why, ""), store_unavailable=False
            )
            _log.error(
                "worker exited", worker=worker, reason=why, restart_in_s=restart_delay_s(failures)
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), restart_delay_s(failures))

    def _mark_stable(self, slot: _WorkerSlot) -> None:
        self.stuck_loops.succeeded(slot.name)


class _WorkerSlot:
    """The place of one worker, filled by one process after another."""

    def __init__(
        self, number: int, on_hint: Callable[[_WorkerSlot], None], silent_s: float
    ) -> None:
        self._number = number
        self._on_hint = on_hint
        self._silent_s = silent_s
        self._has_spoken = False
        self.process: asyncio.subprocess.Process | None = None
        self.first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended_cleanly = True
        self.metrics = ""
        self._worker = ""
        self._channel: IpcChannel | None = None
        self._ready = False
        self._failure = ""

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"worker {self._number}"

    @property
    def status(self) -> WorkerProcess:
        pid = 0 if self.process is None else self.process.pid
        return WorkerProcess(self._worker, pid, self._ready)

    @property
    def never_worked(self) -> bool:
        """Whether its first process could not start: ``first_ready`` says why."""
        over = self.first_ready.done() and not self.first_ready.cancelled()
        return over and self.first_ready.exception() is not None

    def hint(self) -> None:
        if self._channel is not None:
            self._channel.send_log_grew()

    def send(self, line: bytes) -> None:
        if self._channel is not None:
            self._channel.send(line)

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to the process; say whether there is one."""
        if self.process is None or self.process.returncode is not None:
            return False
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return True

    async def run(
        self, worker: str, command: WorkerCommand, inherited: Sequence[int], stopping: asyncio.Event
    ) -> str:
        """Have a process work until it ends; return why it did."""
        self._worker, self._ready, self._failure = worker, False, ""
        who = f"{self._number}:{worker}"
        try:
            here, self.process = await _spawn(command, who, inherited)
        except OSError as error:
            return self._exit_reason(f"it cannot be started: {error}")
        if stopping.is_set():
            self.signal(signal.SIGTERM)
        self._channel = await IpcChannel.open(here, self._receive)
        code = await self._wait_exit(self.process)
        self._channel.close()
        self.process = self._channel = None
        self.metrics = ""
        self.ended_cleanly = not stopping.is_set() or code in _CLEAN_EXIT_CODES
        return self._exit_reason(self._failure or _describe_exit(code))

    async def _wait_exit(self, process: asyncio.subprocess.Process) -> int:
        """Return how a process ended, by itself or because it has been silent for too long.

        The time in which this process stood still itself does not count.
        """
        ending, silent_s = asyncio.create_task(process.wait()), 0.0
        while not (await asyncio.wait((ending,), timeout=ALIVE_INTERVAL_S))[0]:
            silent_s = 0.0 if self._has_spoken or not self._ready else silent_s + ALIVE_INTERVAL_S
            self._has_spoken = False
            if silent_s >= self._silent_s:
                self._failure = f"it said nothing for {silent_s:.0f} s, and was killed"
                self.signal(signal.SIGKILL)
        return await ending

    def _exit_reason(self, why: str) -> str:
        if not self.first_ready.done():
            told = self._failure or f"a worker did not start: {why}; it may have said why above"
            self.first_ready.set_exception(BuswayError(told))
        return why

    def _receive(self, line: bytes) -> None:
        self._has_spoken = True
        if line == LOG_GREW:
            self._on_hint(self)
        elif line == READY:
            self._ready = True
            if not self.first_ready.done():
                self.first_ready.set_result(None)
        elif line.startswith(METRICS):
            self.metrics = msgspec.json.decode(line.removeprefix(METRICS), type=str)
        elif line.startswith(FAILED):
            self._failure = msgspec.json.decode(line.removeprefix(FAILED), type=str)


async def _spawn(
    command: WorkerCommand, who: str, inherited: Sequence[int]
) -> tuple[socket.socket, asyncio.subprocess.Process]:
    """Start a process; return this end of the wire to it too."""
    here, there = socket.socketpair()
    descriptors = [there.fileno(), *inherited]
    membership = ":".join([who, *map(str, descriptors)])
    with there:
        try:
            process = await asyncio.create_subprocess_exec(
                *command.command,
                "--member",
                membership,
                stdin=asyncio.subprocess.DEVNULL,
                env=command.environment,
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C in a terminal is for the parent, which hands it on
            )
        except BaseException:
            here.close()
            raise
    return here, process


def _describe_exit(code: int) -> str:
    """Say how a process ended, by its code as the operating system gives it."""
    if code >= 0:
        return f"it ended with {code}"
    try:
        return f"it was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was killed by signal {-code}"
