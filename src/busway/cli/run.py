"""``busway run``: work a flows file until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Iterator
from typing import Any

import msgspec
import structlog
import uvloop

from busway.app import Node, Role
from busway.cli.edits import edits
from busway.cli.registry import registered
from busway.cli.serving import announced, keep_from_forks
from busway.cli.token_file import NAME, Token, kept_or_made
from busway.clock import SystemClock
from busway.engine.registry import open_stores
from busway.errors import BuswayError, SettingsError
from busway.flow import CompiledApp, compile_app, load_app, split_target
from busway.network import listens_on_loopback
from busway.ports import SharedDirectory, Stores
from busway.runtime.process.interpreter import tune_interpreter
from busway.runtime.process.supervisor import Supervisor, WorkerCommand
from busway.settings import (
    NOT_LISTENING,
    Settings,
    api_address,
    child_environment,
    is_setting_given,
    load_env_file,
    load_for_command,
    requires_intake_keys,
    unknown_settings,
)
from busway.telemetry import configure_log, redact_from_log

_log = structlog.get_logger("busway")
WORKER_STOP = 4
"""How many times ``drain_s`` a worker may take to stop."""


def serve(target: str, reload: bool, role: Role = "all", **given: Any) -> None:
    """Run until SIGTERM or SIGINT, with settings that are given over those of the environment."""
    load_env_file(split_target(target)[0].parent)
    settings = load_for_command(**given)
    if role == "work" and not is_setting_given("port", **given):
        settings = msgspec.structs.replace(settings, port=NOT_LISTENING)
    configure_log(settings.log_format, settings.log_level)
    for what in unknown_settings():
        _log.warning("a variable of the environment is not a setting", why=what)
    if role != "all" and not settings.engine:
        raise SettingsError(
            f"a data directory is for one busway run, which has several cores deliver with"
            f" --workers 2. For busway {role} give an engine that several share: --engine"
            " postgresql://…"
        )
    uvloop.run(run(target, settings, reload, role))


def read_program(target: str) -> CompiledApp:
    """Load and compile a flows file, with the ``.env`` file beside it."""
    load_env_file(split_target(target)[0].parent)
    return compile_app(load_app(target))


def _caution(program: CompiledApp) -> None:
    for what in program.warnings:
        _log.warning("a flow may not be what was meant", why=what)


async def run(target: str, settings: Settings, reload: bool, role: Role = "all") -> None:
    """Run until SIGTERM or SIGINT; raises a :class:`BuswayError` when it cannot start."""
    # from before the flows are read: what is edited while this starts is not missed
    async with edits(target) if reload else contextlib.nullcontext() as edited:
        await _run(target, settings, edited, role)


async def _run(target: str, settings: Settings, edited: asyncio.Event | None, role: Role) -> None:
    program = read_program(target)
    _caution(program)
    _check_access(settings)
    tune_interpreter()
    stop = stop_signal()
    family = _family(target, settings) if role == "all" and settings.workers else None
    stores = await open_stores(settings, None if family is None else SharedDirectory(family))
    if family is None and stores.lock_fd is not None:
        keep_from_forks(stores.lock_fd)
    _tell_of_partitions(settings, stores)
    try:
        token = Token(settings.api_token) if role == "work" else token_of(settings)
    except BaseException:
        await stores.close()
        raise
    settings = msgspec.structs.replace(settings, api_token=token.value)
    node = Node(program, settings, stores, role=role if family is None else "serve")
    if family is not None:
        node.worker_metrics, family.stuck_loops = family.metrics, node.stuck_loops
    try:
        await _start(node, settings)
        if family is not None:
            await unless(stop, family.start(stores.ledger, stores.lock_fd))
        with _announced(stores, settings, node, token):
            _warn_of_intake(node, settings)
            place = stores.name or f"data in {settings.data}"
            _say_ready(node, settings, place + _staffed(family))
            if token.made:
                _say_token(node, settings)
            if edited is None:
                await stop.wait()
            else:
                reloading = asyncio.create_task(_reload(node, target, family, edited))
                await stop.wait()
                reloading.cancel()
    finally:
        ended = await _stop(node, settings, family)
    if not ended:
        raise BuswayError("not all workers ended in order; what they had in hand is done again")


def _tell_of_partitions(settings: Settings, stores: Stores) -> None:
    """Tell that a log that is there does not get the partitions that are asked for."""
    asked, found = settings.partitions, stores.log.partitions
    if is_setting_given("partitions") and asked != found:
        why = f"BUSWAY_PARTITIONS is {asked}, and this log has {found} partitions for good"
        _log.warning(
            "the partitions stay as they are", why=f"{why}; set {found}, or begin a new log"
        )


def _family(target: str, settings: Settings) -> Supervisor:
    """Return what starts workers, which find the same modules as this process does."""
    safe = [] if os.getcwd() in sys.path else ["-P"]  # noqa: PTH109 - as text, as in sys.path
    command = [sys.executable, *safe, "-m", "busway", "work", target]
    return Supervisor(
        settings.workers, WorkerCommand(command, child_environment(settings)), SystemClock()
    )


async def unless(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Wait for work to be done, unless this is to stop before: then how it went is all the same."""
    working, stopping = asyncio.ensure_future(work), asyncio.create_task(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not stop.is_set():
        await working
    working.cancel()
    await asyncio.wait((working,))
    if not working.cancelled():
        working.exception()  # who was told to stop as well may say that it could not start


async def _stop(node: Node, settings: Settings, family: Supervisor | None) -> bool:
    """Stop all processes; say whether the workers ended in order."""
    if family is None:
        await node.stop()
        return True
    # a worker stops in steps, each of which may take as long as that
    ended, _ = await asyncio.gather(family.stop(WORKER_STOP * settings.drain_s), node.stop())
    return ended


async def _start(node: Node, settings: Settings) -> None:
    try:
        await node.start()
    except OSError as error:
        what = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        place, fix = f"{settings.host} port {settings.port}", "choose another --host or --port"
        raise SettingsError(f"cannot listen on {place}: {what}; {fix}") from error


def stop_signal() -> asyncio.Event:
    """Return an event that is set when this process is told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _check_access(settings: Settings) -> None:
    """Raise :class:`SettingsError` where calls without a token would be answered to strangers."""
    if not settings.api_open:
        return
    host = (api_address(settings) or (settings.host, 0))[0]
    if not listens_on_loopback(host):
        raise SettingsError(
            f"BUSWAY_API_OPEN answers calls without a token, and {host or 'every address'}"
            " is reached from other machines: listen on 127.0.0.1, or leave it out"
        )
    if settings.api_token:
        raise SettingsError("BUSWAY_API_OPEN asks for no token, and BUSWAY_API_TOKEN sets one")
    _log.warning("the API asks for no token: every user of this machine is an administrator")


def token_of(settings: Settings) -> Token:
    """Return the token that the API asks for: the one that is set, or else the one that is kept."""
    is_set_or_open = settings.api_open or settings.api_token
    token = Token(settings.api_token) if is_set_or_open else kept_or_made(settings.data)
    redact_from_log([token.value])
    return token


@contextlib.contextmanager
def _announced(stores: Stores, settings: Settings, node: Node, token: Token) -> Iterator[None]:
    """Let commands find the server in its data directory, and its token by its URL."""
    with contextlib.ExitStack() as stack:
        if stores.directory is not None:
            stack.enter_context(announced(stores.directory, node.api_url))
        if token.kept:
            stack.enter_context(registered(node.api_url, settings.data))
        yield


def _staffed(family: Supervisor | None) -> str:
    count = 0 if family is None else len(family.workers)
    return f", {count} worker{'s' * (count != 1)}" if family is not None else ""


def _say_ready(node: Node, settings: Settings, place: str) -> None:
    flows = len(node.program.flows)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    what = f"{flows} flow{'s' * (flows != 1)}, {place}"
    if node.role == "work":
        watched = f", health and metrics on http://{host}:{node.port}" if node.port else ""
        print(f"busway works ({what}){watched}", flush=True)  # noqa: T201 - what scripts wait for
        return
    api = f", API on {node.api_url}" if api_address(settings) else ""
    line = f"busway is ready on http://{host}:{node.port} ({what}){api}"
    print(line, flush=True)  # noqa: T201 - the one line that scripts wait for


def _warn_of_intake(node: Node, settings: Settings) -> None:
    """Tell where anybody may send events, or where nobody can yet."""
    if node.role == "work":
        return
    address = f"{settings.host or 'every address'} port {node.port}"
    if not requires_intake_keys(settings):
        if not listens_on_loopback(settings.host):
            fix = "set BUSWAY_INTAKE_KEYS=required, or listen on 127.0.0.1"
            _log.warning("events are taken from anybody, without a key", address=address, fix=fix)
    elif not node.keys.intake:
        fix = "make one: busway keys create --scope intake; or set BUSWAY_INTAKE_KEYS=off"
        _log.warning("events need a key, and there is none yet", address=address, fix=fix)


def _say_token(node: Node, settings: Settings) -> None:
    url = f"{node.api_url}/#token={settings.api_token}"
    where = f"the API's token; printed only now, kept in {settings.data / NAME}"
    print(f"open {url} ({where})", flush=True)  # noqa: T201 - for people


async def _reload(
    node: Node, target: str, family: Supervisor | None, edited: asyncio.Event
) -> None:
    """Change to the new flows whenever a file beside the flows file was edited."""
    while True:
        await edited.wait()
        edited.clear()
        if await change(node, target) and family is not None:
            family.reload()


async def change(node: Node, target: str) -> bool:
    """Change to what the flows file is now, if it is in order; say whether it was."""
    try:
        await node.change_program(read_program(target))
    except BuswayError as error:
        _log.error("the flows stay as they were", mistakes=str(error))
        return False
    _caution(node.program)
    _log.info("flows reloaded", flows=[flow.name for flow in node.program.flows])
    return True
