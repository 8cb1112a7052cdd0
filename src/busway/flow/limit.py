"""A named limit: how fast, and by how many at a time, something that flows share may be used."""

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
from busway.delivery.throttle import Rate
from busway.step.timeout import timeout_paused

_CHECK_INTERVAL_S = 0.05
"""How often a waiting thread looks whether it is to stop."""


class Limiter(Protocol):
    """What keeps a limit while a program runs; its methods belong to the loop's thread."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    async def acquire(self) -> None: ...

    def release(self, took_s: float | None) -> None: ...


class CompiledLimit(msgspec.Struct, frozen=True):
    """A limit, compiled: ``None`` where it sets no bound."""

    name: str
    rate: Rate | None
    concurrency: Concurrency | None


HeldLimit = tuple[str, Limiter | None, float]
_limiters: ContextVar[Mapping[str, Limiter] | None] = ContextVar("busway_limits", default=None)
_held_limits: ContextVar[tuple[HeldLimit, ...]] = ContextVar("busway_held", default=())


def bind_limiters(limiters: Mapping[str, Limiter]) -> Token[Mapping[str, Limiter] | None]:
    """Have the limits of this context kept by ``limiters``, by name; undone by
    :func:`unbind_limiters`."""
    return _limiters.set(limiters)


def unbind_limiters(token: Token[Mapping[str, Limiter] | None]) -> None:
    """Undo a :func:`bind_limiters`."""
    _limiters.reset(token)


class Limit:
    """A limit to hold inside a step: ``with crm:``, or ``async with crm:`` in an ``async`` one.

    Made by :meth:`busway.App.limit`; a flow that delivers under it says ``limit=crm``. While the
    program runs, all who hold it share it, and waiting for it does not count towards a step's time
    limit. Anywhere else, as in a test that calls the step, it lets everybody through.
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
        holder = self._limiter()
        if holder is not None:
            if _is_current_loop(holder.loop):
                what = f"use `async with` for the limit {self.name!r} in an async step"
                raise RuntimeError(f"{what}: `with` would stop everybody else")
            with timeout_paused():
                _ThreadAdmission(holder).wait()
        self._note_acquired(holder)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        holder, took_s = self._note_released()
        if holder is not None:
            holder.loop.call_soon_threadsafe(holder.release, took_s)

    async def __aenter__(self) -> None:
        holder = self._limiter()
        if holder is not None:
            with timeout_paused():
                await holder.acquire()
        self._note_acquired(holder)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        holder, took_s = self._note_released()
        if holder is not None:
            holder.release(took_s)

    def _limiter(self) -> Limiter | None:
        return (_limiters.get() or {}).get(self.name)

    def _note_acquired(self, limiter: Limiter | None) -> None:
        _held_limits.set((*_held_limits.get(), (self.name, limiter, time.perf_counter())))

    def _note_released(self) -> tuple[Limiter | None, float]:
        held = list(_held_limits.get())
        index = max(i for i, one in enumerate(held) if one[0] == self.name)
        _, holder, began = held.pop(index)
        _held_limits.set(tuple(held))
        return holder, time.perf_counter() - began


class _ThreadAdmission:
    """A thread's turn at a limit: it gets in, or gives up; then what it would have had is free."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._lock = threading.Lock()
        self._inside = self._given_up = False

    def wait(self) -> None:
        """Return once inside. What interrupts the thread gives the turn up."""
        try:
            asked = asyncio.run_coroutine_threadsafe(self._enter(), self._limiter.loop)
            while not _is_done(asked):
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


def _is_done(asked: concurrent.futures.Future[None]) -> bool:
    """Wait a moment; in short ones, so that the thread can be interrupted."""
    try:
        asked.result(_CHECK_INTERVAL_S)
    except concurrent.futures.TimeoutError:
        if asked.done():
            raise
        return False
    return True


def _is_current_loop(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
