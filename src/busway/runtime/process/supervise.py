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
from busway.control.worker import bury
from busway.errors import BuswayError, StoreError
from busway.exception_text import ExceptionText, exception_line
from busway.ports import Ledger
from busway.runtime.crew.shift import new_worker
from busway.runtime.process.wire import ALIVE_EVERY_S, FAILED, METRICS, MORE, READY, RELOAD, Wire
from busway.runtime.stuck import StuckLoops

STEADY_S = 60.0
"""After so long a worker's end is not of the same cause as that of the one before it."""
SILENT_S = 8.0
"""How long a worker may say nothing. One that is stopped in the middle of a transaction keeps the
database locked, for the intake too, so it is killed, and what it had in hand is done again."""
_IN_ORDER = (0, -signal.SIGTERM, -signal.SIGINT)
"""How a worker ends that is told to; by the signal itself where it had not begun to listen."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 5.0

_log = structlog.get_logger("busway")


class Launch(msgspec.Struct, frozen=True):
    """How a worker is started: a command, to which ``--member`` and its membership are added."""

    command: Sequence[str]
    environment: Mapping[str, str]


class WorkerProcess(msgspec.Struct, frozen=True):
    """A worker of this machine: its id in the ledger, its process, and whether it works."""

    worker: str
    pid: int
    ready: bool


def pause_s(failures: int) -> float:
    """Return how long to wait before another start, after so many ends one soon after another."""
    doublings = min(failures - 1, 10)  # a worker may fail for days
    return float(min(_FIRST_PAUSE_S * 2**doublings, _LONGEST_PAUSE_S))


class Supervisor:
    """Keeps ``count`` workers running from its start to its stop; they end when it dies.

    It hands on what one of them tells to all others, and so carries their :class:`Hints`.
    """

    def __init__(
        self, count: int, launch: Launch, clock: Clock, silent_s: float = SILENT_S
    ) -> None:
        self._launch = launch
        self._clock = clock
        self._posts = [_Post(n, self._told, silent_s) for n in range(1, count + 1)]
        self._tasks: list[asyncio.Task[None]] = []
        self._look: Callable[[], None] = lambda: None
        self._stopping = asyncio.Event()
        self._life, self._alive = os.pipe()
        self.stuck = StuckLoops(clock)
        """Where it is noted that workers end again and again."""

    @property
    def workers(self) -> Sequence[WorkerProcess]:
        """Those that run now."""
        return [one.status for one in self._posts if one.process is not None]

    def metrics(self) -> Mapping[str, str]:
        """Return what the workers that run told of their metrics last, by their numbers from 1."""
        return {str(n): one.metrics for n, one in enumerate(self._posts, 1) if one.metrics}

    def tell(self) -> None:
        for post in self._posts:
            post.hint()

    def hear(self, look: Callable[[], None]) -> None:
        self._look = look

    def reload(self) -> None:
        """Have all workers work the flows file as it is now."""
        for post in self._posts:
            post.send(RELOAD)

    async def start(self, ledger: Ledger, lock: int | None) -> None:
        """Return when all work; ``lock`` is what they inherit of a data directory.

        Raises :class:`BuswayError` with what the first one said that could not start.
        """
        self._tasks = [asyncio.create_task(self._keep(one, ledger, lock)) for one in self._posts]
        await asyncio.gather(*(post.first for post in self._posts))

    async def stop(self, within_s: float) -> bool:
        """Have all finish what they have in hand; say whether they did, and in time."""
        self._stopping.set()
        for post in self._posts:
            post.signal(signal.SIGTERM)
        late = await self._left(within_s)
        for post in self._posts if late else ():
            if post.signal(signal.SIGKILL):
                _log.error("a worker did not stop in time, and was killed", pid=post.status.pid)
        await self._left(None)
        for descriptor in (self._life, self._alive):
            os.close(descriptor)
        return not late and all(post.in_order for post in self._posts)

    async def _left(self, within_s: float | None) -> bool:
        """Wait for the workers to end; say whether one is left."""
        if not self._tasks:
            return False
        _, left = await asyncio.wait(self._tasks, timeout=within_s)
        return bool(left)

    def _told(self, teller: _Post) -> None:
        self._look()
        for post in self._posts:
            if post is not teller:
                post.hint()

    async def _keep(self, post: _Post, ledger: Ledger, lock: int | None) -> None:
        failures = 0
        inherited = [self._life] if lock is None else [self._life, lock]
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            worker = new_worker()
            steadily = asyncio.get_running_loop().call_later(STEADY_S, self._steady, post)
            try:
                why = await post.run(worker, self._launch, inherited, self._stopping)
            except Exception as error:  # another one is started whatever became of it
                why = exception_line(error)
                post.signal(signal.SIGKILL)
            steadily.cancel()
            with contextlib.suppress(StoreError):
                await bury(ledger, worker)
            if self._stopping.is_set() or post.never_worked:
                return
            steady = self._clock.monotonic() - began > STEADY_S
            failures = 1 if steady else failures + 1
            self.stuck.failed(post.name, "", ExceptionText("it ended", why, ""), away=False)
            _log.error("a worker ended", worker=worker, why=why, again_in_s=pause_s(failures))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s(failures))

    def _steady(self, post: _Post) -> None:
        self.stuck.passed(post.name)


class _Post:
    """The place of one worker, filled by one process after another."""

    def __init__(self, number: int, told: Callable[[_Post], None], silent_s: float) -> None:
        self._number = number
        self._told = told
        self._silent_s = silent_s
        self._spoke = False
        self.process: asyncio.subprocess.Process | None = None
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.in_order = True
        self.metrics = ""
        self._worker = ""
        self._wire: Wire | None = None
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
        """Whether its first process could not start: ``first`` says why."""
        over = self.first.done() and not self.first.cancelled()
        return over and self.first.exception() is not None

    def hint(self) -> None:
        if self._wire is not None:
            self._wire.hint()

    def send(self, line: bytes) -> None:
        if self._wire is not None:
            self._wire.send(line)

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to the process; say whether there is one."""
        if self.process is None or self.process.returncode is not None:
            return False
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return True

    async def run(
        self, worker: str, launch: Launch, inherited: Sequence[int], stopping: asyncio.Event
    ) -> str:
        """Have a process work until it ends; return why it did."""
        self._worker, self._ready, self._failure = worker, False, ""
        who = f"{self._number}:{worker}"
        try:
            here, self.process = await _started(launch, who, inherited)
        except OSError as error:
            return self._ended(f"it cannot be started: {error}")
        if stopping.is_set():
            self.signal(signal.SIGTERM)
        self._wire = await Wire.open(here, self._heard)
        code = await self._ends(self.process)
        self._wire.close()
        self.process = self._wire = None
        self.metrics = ""
        self.in_order = not stopping.is_set() or code in _IN_ORDER
        return self._ended(self._failure or _meaning(code))

    async def _ends(self, process: asyncio.subprocess.Process) -> int:
        """Return how a process ended, by itself or because it has been silent for too long.

        The time in which this process stood still itself does not count.
        """
        ending, silent_s = asyncio.create_task(process.wait()), 0.0
        while not (await asyncio.wait((ending,), timeout=ALIVE_EVERY_S))[0]:
            silent_s = 0.0 if self._spoke or not self._ready else silent_s + ALIVE_EVERY_S
            self._spoke = False
            if silent_s >= self._silent_s:
                self._failure = f"it said nothing for {silent_s:.0f} s, and was killed"
                self.signal(signal.SIGKILL)
        return await ending

    def _ended(self, why: str) -> str:
        if not self.first.done():
            told = self._failure or f"a worker did not start: {why}; it may have said why above"
            self.first.set_exception(BuswayError(told))
        return why

    def _heard(self, line: bytes) -> None:
        self._spoke = True
        if line == MORE:
            self._told(self)
        elif line == READY:
            self._ready = True
            if not self.first.done():
                self.first.set_result(None)
        elif line.startswith(METRICS):
            self.metrics = msgspec.json.decode(line.removeprefix(METRICS), type=str)
        elif line.startswith(FAILED):
            self._failure = msgspec.json.decode(line.removeprefix(FAILED), type=str)


async def _started(
    launch: Launch, who: str, inherited: Sequence[int]
) -> tuple[socket.socket, asyncio.subprocess.Process]:
    """Start a process; return this end of the wire to it too."""
    here, there = socket.socketpair()
    descriptors = [there.fileno(), *inherited]
    membership = ":".join([who, *map(str, descriptors)])
    with there:
        try:
            process = await asyncio.create_subprocess_exec(
                *launch.command,
                "--member",
                membership,
                stdin=asyncio.subprocess.DEVNULL,
                env=launch.environment,
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C in a terminal is for the parent, which hands it on
            )
        except BaseException:
            here.close()
            raise
    return here, process


def _meaning(code: int) -> str:
    """Say how a process ended, by its code as the operating system gives it."""
    if code >= 0:
        return f"it ended with {code}"
    try:
        return f"it was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was killed by signal {-code}"
