"""A worker of ``busway run --workers``: one of a family of processes that ends with its parent."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from threading import Thread

import msgspec
import structlog
import uvloop

from busway.app import Node
from busway.cli.run import change, read_program, stop_signal
from busway.cli.serving import keep_from_forks
from busway.engine.registry import open_stores
from busway.errors import BuswayError, SettingsError
from busway.ports import SharedDirectory
from busway.runtime.process.interpreter import tune_interpreter
from busway.runtime.process.ipc import (
    ALIVE_INTERVAL_S,
    FAILED,
    HEARTBEAT,
    LOG_GREW,
    METRICS,
    METRICS_INTERVAL_S,
    READY,
    RELOAD,
    IpcChannel,
)
from busway.settings import NOT_LISTENING, Settings, load_settings
from busway.telemetry import configure_log


class Membership(msgspec.Struct, frozen=True):
    """Who a worker is, and the descriptors that it has from its parent.

    ``number`` is its place in the family, from 1; ``worker`` its id, as no process before had it.
    ``wire`` is its end of the wire, ``life`` a pipe that ends when the parent does, ``lock`` the
    lock of the data directory, where there is one.
    """

    number: int
    worker: str
    wire: int
    life: int
    lock: int | None = None

    @classmethod
    def of(cls, text: str) -> Membership:
        """Read ``<number>:<worker>:<wire>:<life>[:<lock>]``.

        The descriptors go to no process after this.

        Raises :class:`SettingsError` where it is not what a parent has given.
        """
        try:
            number, worker, *descriptors = text.split(":")
            place, wire, life, *lock = map(int, (number, *descriptors))
            for one in (wire, life, *lock):
                os.set_inheritable(one, False)
        except (ValueError, OSError):
            raise SettingsError(
                "--member is given by busway run --workers, and to nobody else"
            ) from None
        return cls(place, worker, wire, life, *lock)


class _Family:
    """What the parent says, and what it is told."""

    wire: IpcChannel

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._look: Callable[[], None] = lambda: None

    @classmethod
    async def joined(cls, descriptor: int) -> _Family:
        """Take up one's end of the wire."""
        family = cls()
        family.wire = await IpcChannel.open(socket.socket(fileno=descriptor), family._heard)
        return family

    def notify(self) -> None:
        self.wire.send_log_grew()

    def subscribe(self, callback: Callable[[], None]) -> None:
        self._look = callback

    def _heard(self, line: bytes) -> None:
        if line == LOG_GREW:
            self._look()
        elif line == RELOAD:
            self.changed.set()


def join(target: str, membership: str) -> None:
    """Work the lanes of a flows file beside others of the family, until SIGTERM."""
    member = Membership.of(membership)
    if member.lock is not None:
        keep_from_forks(member.lock)
    Thread(target=_end_with, args=(member.life,), name="busway-life", daemon=True).start()
    settings = msgspec.structs.replace(load_settings(), port=NOT_LISTENING)
    configure_log(settings.log_format, settings.log_level)
    structlog.contextvars.bind_contextvars(worker=member.number)
    sys.exit(uvloop.run(_work(target, settings, member)))


def _end_with(life: int) -> None:
    """End at once when the parent does; a thread, because the loop may be busy for long."""
    os.read(life, 1)
    os._exit(1)


async def _work(target: str, settings: Settings, member: Membership) -> int:
    """Work until told to stop; return the exit code."""
    family = await _Family.joined(member.wire)
    try:
        await _worked(target, settings, member, family)
    except BuswayError as error:
        family.wire.send(FAILED + msgspec.json.encode(str(error)))
        return 1
    finally:
        family.wire.close()
    return 0


async def _worked(target: str, settings: Settings, member: Membership, family: _Family) -> None:
    stop = stop_signal()
    program = read_program(target)
    tune_interpreter()
    stores = await open_stores(settings, SharedDirectory(family, member.lock))
    node = Node(program, settings, stores, role="work", worker=member.worker)
    try:
        await node.start()
        family.wire.send(READY)
        telling = asyncio.create_task(_tell_metrics(node, family))
        living = asyncio.create_task(_tell_that_it_lives(family))
        changing = asyncio.create_task(_change_when_told(node, target, family))
        await stop.wait()
        telling.cancel()
        changing.cancel()
    finally:
        await node.stop()
    living.cancel()


async def _tell_that_it_lives(family: _Family) -> None:
    while True:
        family.wire.send(HEARTBEAT)
        await asyncio.sleep(ALIVE_INTERVAL_S)


async def _tell_metrics(node: Node, family: _Family) -> None:
    while True:
        family.wire.send(METRICS + msgspec.json.encode(node.metrics().decode()))
        await asyncio.sleep(METRICS_INTERVAL_S)


async def _change_when_told(node: Node, target: str, family: _Family) -> None:
    while True:
        await family.changed.wait()
        family.changed.clear()
        await change(node, target)
