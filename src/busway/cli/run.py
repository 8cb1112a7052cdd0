"""``busway run``: work a flows file until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Any

import msgspec
import structlog
import uvloop
from watchfiles import awatch

from busway.app import Node, Role
from busway.cli.serving import announced
from busway.engine.choose import open_stores
from busway.errors import BuswayError, SettingsError
from busway.flow import Program, compile_app, load_app, split_target
from busway.ports import Stores
from busway.runtime.interpreter import tune
from busway.settings import NO_PORT, Settings, is_set, load_env_file, placed
from busway.telemetry import configure_log

_log = structlog.get_logger("busway")


def serve(target: str, reload: bool, role: Role = "all", **given: Any) -> None:
    """Run until SIGTERM or SIGINT, with settings that are given over those of the environment."""
    load_env_file(split_target(target)[0].parent)
    settings = placed(**given)
    if role == "work" and not is_set("port", **given):
        settings = msgspec.structs.replace(settings, port=NO_PORT)
    configure_log(settings.log_format, settings.log_level)
    if role != "all" and not settings.engine:
        raise SettingsError(
            f"a data directory is for one process: busway run. For busway {role} give an engine"
            " that several share: --engine postgresql://…"
        )
    uvloop.run(run(target, settings, reload, role))


def read_program(target: str) -> Program:
    """Load and compile a flows file, with the ``.env`` file beside it."""
    load_env_file(split_target(target)[0].parent)
    return compile_app(load_app(target))


async def run(target: str, settings: Settings, reload: bool, role: Role = "all") -> None:
    """Run until SIGTERM or SIGINT; raises a :class:`BuswayError` when it cannot start."""
    program = read_program(target)
    tune()
    stop = _stop_signal()
    stores = await open_stores(settings)
    node = Node(program, settings, stores, role=role)
    try:
        await _start(node, settings)
        with _announced(stores, settings, node.port):
            _say_ready(node, settings, stores.name or f"data in {settings.data}")
            watching = asyncio.create_task(_reload(node, target)) if reload else None
            await stop.wait()
            if watching is not None:
                watching.cancel()
    finally:
        await node.stop()


async def _start(node: Node, settings: Settings) -> None:
    try:
        await node.start()
    except OSError as error:
        what = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        place, fix = f"{settings.host} port {settings.port}", "choose another --host or --port"
        raise SettingsError(f"cannot listen on {place}: {what}; {fix}") from error


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _announced(
    stores: Stores, settings: Settings, port: int
) -> contextlib.AbstractContextManager[None]:
    """Let commands find the server in its data directory, where it has one."""
    if stores.place is None:
        return contextlib.nullcontext()
    return announced(stores.place, settings.host, port)


def _say_ready(node: Node, settings: Settings, place: str) -> None:
    flows = len(node.program.flows)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    what = f"{flows} flow{'s' * (flows != 1)}, {place}"
    if node.role == "work":
        watched = f", health and metrics on http://{host}:{node.port}" if node.port else ""
        print(f"busway works ({what}){watched}", flush=True)  # noqa: T201 - what scripts wait for
        return
    line = f"busway is ready on http://{host}:{node.port} ({what})"
    print(line, flush=True)  # noqa: T201 - the one line that scripts wait for


async def _reload(node: Node, target: str) -> None:
    """Change to the new flows whenever a file beside the flows file changes."""
    folder = split_target(target)[0].parent
    async for _ in awatch(folder, watch_filter=_matters):
        try:
            await node.change(read_program(target))
        except BuswayError as error:
            _log.error("the flows stay as they were", mistakes=str(error))
        else:
            _log.info("flows reloaded", flows=[flow.name for flow in node.program.flows])


def _matters(_: object, path: str) -> bool:
    return path.endswith(".py")
