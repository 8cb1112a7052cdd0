"""A worker process of ``busway run --workers``, which exits with its parent."""

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
from busway.cli.server import read_program, reload_flows, stop_signal
from busway.cli.server_record import close_in_forks
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


class WorkerArguments(msgspec.Struct, frozen=True):
    """The identity of a worker, and the descriptors that it inherits from its parent.

    ``number`` counts the workers from 1; ``worker`` is a unique id. ``wire`` is the socket to the
    parent, ``life`` a pipe that closes when the parent exits, ``lock`` the lock of the data
    directory, if there is one.
    """

    number: int
    worker: str
    wire: int
    life: int
    lock: int | None = None

    @classmethod
    def of(cls, text: str) -> WorkerArguments:
        """Read ``<number>:<worker>:<wire>:<life>[:<lock>]``.

        The descriptors are not inherited further.

        Raises :class:`SettingsError` if it is not valid.
        """
        try:
            number, worker, *descriptors = text.split(":")
            place, wire, life, *lock = map(int, (number, *descriptors))
            for descriptor in (wire, life, *lock):
                os.set_inheritable(descriptor, False)
        except (ValueError, OSError):
            raise SettingsError(
                "--member is internal: it is set by `busway run --workers`"
            ) from None
        return cls(place, worker, wire, life, *lock)


class _Parent:
    """The connection to the parent process."""

    wire: IpcChannel

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._look: Callable[[], None] = lambda: None

    @classmethod
    async def connect(cls, descriptor: int) -> _Parent:
        """Open the connection on a socket's descriptor."""
        family = cls()
        family.wire = await IpcChannel.open(socket.socket(fileno=descriptor), family._receive)
        return family

    def notify(self) -> None:
        self.wire.send_log_grew()

    def subscribe(self, look: Callable[[], None]) -> None:
        self._look = look

    def _receive(self, line: bytes) -> None:
        if line == LOG_GREW:
            self._look()
        elif line == RELOAD:
            self.changed.set()


def run_worker_process(target: str, membership: str) -> None:
    """Deliver the lanes of a flows file, together with the other workers, until SIGTERM."""
    member = WorkerArguments.of(membership)
    if member.lock is not None:
        close_in_forks(member.lock)
    Thread(target=_exit_with_parent, args=(member.life,), name="busway-life", daemon=True).start()
    settings = msgspec.structs.replace(load_settings(), port=NOT_LISTENING)
    configure_log(settings.log_format, settings.log_level)
    structlog.contextvars.bind_contextvars(worker=member.number)
    sys.exit(uvloop.run(_run_worker(target, settings, member)))


def _exit_with_parent(life: int) -> None:
    """Exit at once when the parent does; in a thread, because the loop may be blocked."""
    os.read(life, 1)
    os._exit(1)


async def _run_worker(target: str, settings: Settings, member: WorkerArguments) -> int:
    """Run until SIGTERM; return the exit code."""
    family = await _Parent.connect(member.wire)
    try:
        await _run_node(target, settings, member, family)
    except BuswayError as error:
        family.wire.send(FAILED + msgspec.json.encode(str(error)))
        return 1
    finally:
        family.wire.close()
    return 0


async def _run_node(
    target: str, settings: Settings, member: WorkerArguments, family: _Parent
) -> None:
    stop = stop_signal()
    program = read_program(target)
    tune_interpreter()
    stores = await open_stores(settings, SharedDirectory(family, member.lock))
    node = Node(program, settings, stores, role="work", worker=member.worker)
    try:
        await node.start()
        family.wire.send(READY)
        telling = asyncio.create_task(_send_metrics(node, family))
        living = asyncio.create_task(_send_alive(family))
        changing = asyncio.create_task(_reload_when_asked(node, target, family))
        await stop.wait()
        telling.cancel()
        changing.cancel()
    finally:
        await node.stop()
    living.cancel()


async def _send_alive(family: _Parent) -> None:
    while True:
        family.wire.send(HEARTBEAT)
        await asyncio.sleep(ALIVE_INTERVAL_S)


async def _send_metrics(node: Node, family: _Parent) -> None:
    while True:
        family.wire.send(METRICS + msgspec.json.encode(node.metrics().decode()))
        await asyncio.sleep(METRICS_INTERVAL_S)


async def _reload_when_asked(node: Node, target: str, family: _Parent) -> None:
    while True:
        await family.changed.wait()
        family.changed.clear()
        await reload_flows(node, target)
