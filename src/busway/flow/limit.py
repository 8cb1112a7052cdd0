"""A named limit: the rate and concurrency of something that flows and steps share."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Coroutine, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Protocol

import msgspec

from busway.concurrency import Concurrency
from busway.delivery.rate import Rate
from busway.step.timeout_pause import timeout_paused

_CHECK_INTERVAL_S = 0.05
"""How often a waiting thread checks whether it was interrupted."""


class Limiter(Protocol):
    """Enforces a limit at run time; its methods must be called on the loop's thread."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    async def acquire(self) -> None: ...

    def release(self, took_s: float | None) -> None: ...


class CompiledLimit(msgspec.Struct, frozen=True):
    """A compiled limit; ``None`` means unlimited."""

    name: str
    rate: Rate | None
    concurrency: Concurrency | None


class HeldLimit(msgspec.Struct, frozen=True):
    """A limit that a step holds; ``acquired_at`` is a time of ``perf_counter``."""

    name: str
    limiter: Limiter | None
    acquired_at: float


_limiters: ContextVar[Mapping[str, Limiter] | None] = ContextVar("busway_limits", default=None)
_held_limits: ContextVar[tuple[HeldLimit, ...]] = ContextVar("busway_held", default=())


def bind_limiters(limiters: Mapping[str, Limiter]) -> Token[Mapping[str, Limiter] | None]:
    """Enforce the limits of this context by ``limiters``, until :func:`unbind_limiters`."""
    return _limiters.set(limiters)


def unbind_limiters(token: Token[Mapping[str, Limiter] | None]) -> None:
    """Undo :func:`bind_limiters`."""
    _limiters.reset(token)


class Limit:
    """A limit to hold inside a step: ``with crm:``, or ``async with crm:`` in an ``async`` step.

    Created by :meth:`busway.App.limit`; a flow applies it to its deliveries by ``limit=crm``. At
    run time all its holders share it, and waiting for it does not count towards a step's timeout.
    Elsewhere, as in a test that calls the step, it does not limit anything.
    """

    def __init__(self, name: str, rate: object, concurrency: object, location: str) -> None:
        self.name = name
        self.rate = rate
        self.concurrency = concurrency
        self.location = location
        """Where it is declared, as ``file:line``."""

    def __repr__(self) -> str:
        return f"limit({self.name!r})"

    def __enter__(self) -> None:
        limiter = self._limiter()
        if limiter is not None:
            if _is_current_loop(limiter.loop):
                fix = f"use `async with` for the limit {self.name!r} in an async step"
                raise RuntimeError(f"{fix}: `with` would block the event loop")
            with timeout_paused():
                _ThreadAdmission(limiter).wait()
        self._note_acquired(limiter)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        limiter, took_s = self._note_released()
        if limiter is not None:
            limiter.loop.call_soon_threadsafe(limiter.release, took_s)

    async def __aenter__(self) -> None:
        limiter = self._limiter()
        if limiter is not None:
            with timeout_paused():
                await limiter.acquire()
        self._note_acquired(limiter)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        limiter, took_s = self._note_released()
        if limiter is not None:
            limiter.release(took_s)

    def _limiter(self) -> Limiter | None:
        return (_limiters.get() or {}).get(self.name)

    def _note_acquired(self, limiter: Limiter | None) -> None:
        held = HeldLimit(self.name, limiter, time.perf_counter())
        _held_limits.set((*_held_limits.get(), held))

    def _note_released(self) -> tuple[Limiter | None, float]:
        held = list(_held_limits.get())
        last = held.pop(max(i for i, limit in enumerate(held) if limit.name == self.name))
        _held_limits.set(tuple(held))
        return last.limiter, time.perf_counter() - last.acquired_at


class _ThreadAdmission:
    """A thread's wait for a limit: it is admitted, or gives up and releases the admission."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._lock = threading.Lock()
        self._inside = self._given_up = False

    def wait(self) -> None:
        """Return once admitted. An exception in the thread gives up."""
        try:
            future = asyncio.run_coroutine_threadsafe(self._enter(), self._limiter.loop)
            while not _is_done(future):
                pass
        except BaseException:
            self._give_up()
            raise

    def _enter(self) -> Coroutine[Any, Any, None]:
        async def enter() -> None:
            await self._limiter.acquire()
            with self._lock:
                self._inside = not self._given_up
            if not self._inside:
                self._limiter.release(None)

        return enter()

    def _give_up(self) -> None:
        with self._lock:
            self._given_up = True
            inside = self._inside
        if inside:
            self._limiter.loop.call_soon_threadsafe(self._limiter.release, None)


def _is_done(future: concurrent.futures.Future[None]) -> bool:
    """Wait for a short time, so that the thread can be interrupted between two waits."""
    try:
        future.result(_CHECK_INTERVAL_S)
    except concurrent.futures.TimeoutError:
        if future.done():
            raise
        return False
    return True


def _is_current_loop(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
