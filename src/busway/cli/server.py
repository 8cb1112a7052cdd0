"""The server process of ``busway run``, ``serve`` and ``work``: start, run, reload, stop."""

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
from busway.cli.file_watch import watch_sources
from busway.cli.server_record import announce_server, close_in_forks
from busway.cli.server_registry import register_server
from busway.cli.token_file import NAME, ApiToken, read_or_create_token
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
WORKER_STOP_FACTOR = 4
"""A worker may take this many times ``drain_s`` to stop."""
_UNCLEAN = "some workers did not shut down cleanly; their in-flight events will be redelivered"


def serve(target: str, reload: bool, role: Role = "all", **given: Any) -> None:
    """Run until SIGTERM or SIGINT; given settings override those of the environment."""
    load_env_file(split_target(target)[0].parent)
    settings = load_for_command(**given)
    if role == "work" and not is_setting_given("port", **given):
        settings = msgspec.structs.replace(settings, port=NOT_LISTENING)
    configure_log(settings.log_format, settings.log_level)
    for what in unknown_settings():
        _log.warning("a variable of the environment is not a setting", why=what)
    if role != "all" and not settings.engine:
        raise SettingsError(
            "a data directory belongs to one `busway run`, which delivers on several cores with"
            f" --workers 2. `busway {role}` needs an engine that processes share: --engine"
            " postgresql://…"
        )
    uvloop.run(run(target, settings, reload, role))


def read_program(target: str) -> CompiledApp:
    """Load and compile a flows file, with the ``.env`` file next to it."""
    load_env_file(split_target(target)[0].parent)
    return compile_app(load_app(target))


def _log_warnings(program: CompiledApp) -> None:
    for what in program.warnings:
        _log.warning("a flow may not do what was meant", why=what)


async def run(target: str, settings: Settings, reload: bool, role: Role = "all") -> None:
    """Run until SIGTERM or SIGINT; raises a :class:`BuswayError` if it cannot start."""
    # before the flows are read, so that no edit during the start is missed
    async with watch_sources(target) if reload else contextlib.nullcontext() as edited:
        await _run(target, settings, edited, role)


async def _run(target: str, settings: Settings, edited: asyncio.Event | None, role: Role) -> None:
    program = read_program(target)
    _log_warnings(program)
    _check_access(settings)
    tune_interpreter()
    stop = stop_signal()
    family = _supervisor(target, settings) if role == "all" and settings.workers else None
    stores = await open_stores(settings, None if family is None else SharedDirectory(family))
    if family is None and stores.lock_fd is not None:
        close_in_forks(stores.lock_fd)
    _warn_of_partitions(settings, stores)
    try:
        token = ApiToken(settings.api_token) if role == "work" else token_of(settings)
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
            await wait_unless_stopped(stop, family.start(stores.ledger, stores.lock_fd))
        with _announce(stores, settings, node, token):
            _warn_of_intake(node, settings)
            place = stores.name or f"data in {settings.data}"
            _print_ready(node, settings, place + _workers_text(family))
            if token.is_new:
                _print_token(node, settings)
            if edited is None:
                await stop.wait()
            else:
                reloading = asyncio.create_task(_reload_on_edits(node, target, family, edited))
                await stop.wait()
                reloading.cancel()
    finally:
        ended = await _stop(node, settings, family)
    if not ended:
        raise BuswayError(_UNCLEAN)


def _warn_of_partitions(settings: Settings, stores: Stores) -> None:
    """Warn if an existing log has another number of partitions than the settings ask for."""
    asked, found = settings.partitions, stores.log.partitions
    if is_setting_given("partitions") and asked != found:
        why = f"BUSWAY_PARTITIONS is {asked}, but this log has {found} partitions, which is final"
        _log.warning(
            "the number of partitions is unchanged", why=f"{why}; set {found}, or use a new log"
        )


def _supervisor(target: str, settings: Settings) -> Supervisor:
    """Return the supervisor of the workers, which import the same modules as this process."""
    safe = [] if os.getcwd() in sys.path else ["-P"]  # noqa: PTH109 - as text, as in sys.path
    command = [sys.executable, *safe, "-m", "busway", "work", target]
    return Supervisor(
        settings.workers, WorkerCommand(command, child_environment(settings)), SystemClock()
    )


async def wait_unless_stopped(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Wait until work is done, or until this process is to stop: then its result is ignored."""
    working, stopping = asyncio.ensure_future(work), asyncio.create_task(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not stop.is_set():
        await working
    working.cancel()
    await asyncio.wait((working,))
    if not working.cancelled():
        working.exception()  # a worker that is stopped as well may report that it could not start


async def _stop(node: Node, settings: Settings, family: Supervisor | None) -> bool:
    """Stop all processes; return whether the workers shut down cleanly."""
    if family is None:
        await node.stop()
        return True
    # a worker stops in several steps, each of which may take ``drain_s``
    ended, _ = await asyncio.gather(family.stop(WORKER_STOP_FACTOR * settings.drain_s), node.stop())
    return ended


async def _start(node: Node, settings: Settings) -> None:
    try:
        await node.start()
    except OSError as error:
        what = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        place, fix = f"{settings.host} port {settings.port}", "choose another --host or --port"
        raise SettingsError(f"cannot listen on {place}: {what}; {fix}") from error


def stop_signal() -> asyncio.Event:
    """Return an event that is set by SIGTERM and SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _check_access(settings: Settings) -> None:
    """Raise :class:`SettingsError` if other machines could call the API without a token."""
    if not settings.api_open:
        return
    address = api_address(settings)
    host = settings.host if address is None else address.host
    if not listens_on_loopback(host):
        raise SettingsError(
            f"BUSWAY_API_OPEN answers calls without a token, and {host or 'every address'}"
            " is reachable from other machines: listen on 127.0.0.1, or remove BUSWAY_API_OPEN"
        )
    if settings.api_token:
        raise SettingsError("BUSWAY_API_OPEN and BUSWAY_API_TOKEN exclude each other; remove one")
    _log.warning("the API needs no token: every user of this machine is an administrator")


def token_of(settings: Settings) -> ApiToken:
    """Return the API's token: the one in the settings, or else the stored one."""
    is_set_or_open = settings.api_open or settings.api_token
    token = ApiToken(settings.api_token) if is_set_or_open else read_or_create_token(settings.data)
    redact_from_log([token.value])
    return token


@contextlib.contextmanager
def _announce(stores: Stores, settings: Settings, node: Node, token: ApiToken) -> Iterator[None]:
    """Let commands find the server by its data directory, and its token by its URL."""
    with contextlib.ExitStack() as stack:
        if stores.directory is not None:
            stack.enter_context(announce_server(stores.directory, node.api_url))
        if token.is_stored:
            stack.enter_context(register_server(node.api_url, settings.data))
        yield


def _workers_text(family: Supervisor | None) -> str:
    count = 0 if family is None else len(family.workers)
    return f", {count} worker{'s' * (count != 1)}" if family is not None else ""


def _print_ready(node: Node, settings: Settings, place: str) -> None:
    flows = len(node.program.flows)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    what = f"{flows} flow{'s' * (flows != 1)}, {place}"
    if node.role == "work":
        watched = f", health and metrics on http://{host}:{node.port}" if node.port else ""
        print(f"busway works ({what}){watched}", flush=True)  # noqa: T201 - scripts wait for it
        return
    api = f", API on {node.api_url}" if api_address(settings) else ""
    line = f"busway is ready on http://{host}:{node.port} ({what}){api}"
    print(line, flush=True)  # noqa: T201 - scripts wait for it


def _warn_of_intake(node: Node, settings: Settings) -> None:
    """Warn if anybody may send events, or if nobody can yet."""
    if node.role == "work":
        return
    address = f"{settings.host or 'every address'} port {node.port}"
    if not requires_intake_keys(settings):
        if not listens_on_loopback(settings.host):
            fix = "set BUSWAY_INTAKE_KEYS=required, or listen on 127.0.0.1"
            _log.warning("anybody may send events without a key", address=address, fix=fix)
    elif not node.keys.intake:
        fix = "create one: busway keys create --scope intake; or set BUSWAY_INTAKE_KEYS=off"
        _log.warning(
            "events need a key, and there is none yet",
            address=address,
            fix=fix,
        )


def _print_token(node: Node, settings: Settings) -> None:
    url = f"{node.api_url}/#token={settings.api_token}"
    where = f"the API's token; printed only now, kept in {settings.data / NAME}"
    print(f"open {url} ({where})", flush=True)  # noqa: T201 - for people


async def _reload_on_edits(
    node: Node, target: str, family: Supervisor | None, edited: asyncio.Event
) -> None:
    """Reload the flows whenever the flows file, or a file that it uses, was edited."""
    while True:
        await edited.wait()
        edited.clear()
        if await reload_flows(node, target) and family is not None:
            family.reload()


async def reload_flows(node: Node, target: str) -> bool:
    """Reload the flows file; return whether it is valid. If not, the flows stay unchanged."""
    try:
        await node.change_program(read_program(target))
    except BuswayError as error:
        _log.error("flows not reloaded: the flows file has mistakes", mistakes=str(error))
        return False
    _log_warnings(node.program)
    _log.info("flows reloaded", flows=[flow.name for flow in node.program.flows])
    return True
