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
from busway.step.patience import unhurried

_LOOK_S = 0.05
"""How often a waiting thread looks whether it is to stop."""


class Holder(Protocol):
    """What keeps a limit while a program runs; its methods belong to the loop's thread."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    async def enter(self) -> None: ...

    def leave(self, took_s: float | None) -> None: ...


class LimitRecord(msgspec.Struct, frozen=True):
    """A limit, compiled: ``None`` where it sets no bound."""

    name: str
    rate: Rate | None
    concurrency: Concurrency | None


Held = tuple[str, Holder | None, float]
_holders: ContextVar[Mapping[str, Holder] | None] = ContextVar("busway_limits", default=None)
_held: ContextVar[tuple[Held, ...]] = ContextVar("busway_held", default=())


def bind(holders: Mapping[str, Holder]) -> Token[Mapping[str, Holder] | None]:
    """Have the limits of this context kept by ``holders``, by name; undone by :func:`unbind`."""
    return _holders.set(holders)


def unbind(token: Token[Mapping[str, Holder] | None]) -> None:
    """Undo a :func:`bind`."""
    _holders.reset(token)


class Limit:
    """A limit to hold inside a step: ``with crm:``, or ``async with crm:`` in an ``async`` one.

    Made by :meth:`busway.App.limit`; a flow that delivers under it says ``limit=crm``. While the
    program runs, all who hold it share it, and waiting for it does not count towards a step's time
    limit. Anywhere else, as in a test that calls the step, it lets everybody through.
    """

    def __init__(self, name: str, rate: object, concurrency: object, place: str) -> None:
        self.name = name
        self.rate = rate
        self.concurrency = concurrency
        self.place = place
        """Where it is declared, as ``file:line``."""

    def __repr__(self) -> str:
        return f"limit({self.name!r})"

    def __enter__(self) -> None:
        holder = self._holder()
        if holder is not None:
            if _runs_here(holder.loop):
                what = f"use `async with` for the limit {self.name!r} in an async step"
                raise RuntimeError(f"{what}: `with` would stop everybody else")
            with unhurried():
                _Admission(holder).wait()
        self._entered(holder)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        holder, took_s = self._left()
        if holder is not None:
            holder.loop.call_soon_threadsafe(holder.leave, took_s)

    async def __aenter__(self) -> None:
        holder = self._holder()
        if holder is not None:
            with unhurried():
                await holder.enter()
        self._entered(holder)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        holder, took_s = self._left()
        if holder is not None:
            holder.leave(took_s)

    def _holder(self) -> Holder | None:
        return (_holders.get() or {}).get(self.name)

    def _entered(self, holder: Holder | None) -> None:
        _held.set((*_held.get(), (self.name, holder, time.perf_counter())))

    def _left(self) -> tuple[Holder | None, float]:
        held = list(_held.get())
        index = max(i for i, one in enumerate(held) if one[0] == self.name)
        _, holder, began = held.pop(index)
        _held.set(tuple(held))
        return holder, time.perf_counter() - began


class _Admission:
    """A thread's turn at a limit: it gets in, or gives up; then what it would have had is free."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self._lock = threading.Lock()
        self._inside = self._given_up = False

    def wait(self) -> None:
        """Return once inside. What interrupts the thread gives the turn up."""
        try:
            asked = asyncio.run_coroutine_threadsafe(self._enter(), self._holder.loop)
            while not _is_done(asked):
                pass
        except BaseException:
            self._give_up()
            raise

    def _enter(self) -> Coroutine[Any, Any, None]:
        async def enter() -> None:
            await self._holder.enter()
            with self._lock:
                self._inside = not self._given_up
            if not self._inside:
                self._holder.leave(None)

        return enter()

    def _give_up(self) -> None:
        with self._lock:
            self._given_up = True
            inside = self._inside
        if inside:
            self._holder.loop.call_soon_threadsafe(self._holder.leave, None)


def _is_done(asked: concurrent.futures.Future[None]) -> bool:
    """Wait a moment; in short ones, so that the thread can be interrupted."""
    try:
        asked.result(_LOOK_S)
    except concurrent.futures.TimeoutError:
        if asked.done():
            raise
        return False
    return True


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
