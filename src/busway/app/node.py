"""One running Busway: stores, bus, servers, and the loops that work the flows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Self

import structlog

from busway.api.listen import start_listening
from busway.app.flow_parts import FlowParts
from busway.app.housekeeping import Housekeeping
from busway.app.role import Role
from busway.app.server import Servers, separate_servers
from busway.bus.group_commit import Appender
from busway.clock import Clock, SystemClock
from busway.control.clock_record import boot_id, resume_clock
from busway.control.context import ControlContext
from busway.errors import StoreError
from busway.flow import CompiledApp
from busway.network import listens_on_loopback, local_url
from busway.ports import Destination, Stores
from busway.runtime.access.failed_authentication import FailedAuthentications
from busway.runtime.access.key_ring import KeyRing
from busway.runtime.lane.poison_isolation import (
    mark_process_running,
    mark_process_stopped,
)
from busway.runtime.lease.startup_recovery import take_over
from busway.runtime.log_gap import skip_log_gaps
from busway.runtime.loop import Loop
from busway.runtime.observe.alert_monitor import AlertMonitor
from busway.runtime.observe.alert_sampler import AlertSampler
from busway.runtime.observe.flow_sampler import FlowSampler
from busway.runtime.observe.gauge import Gauges
from busway.runtime.observe.last_seen import LastSeen
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.settlement_log import SettlementLog
from busway.runtime.observe.state_recorder import StateRecorder
from busway.runtime.outage_log import OutageLog
from busway.runtime.process.readiness import Readiness, remarks
from busway.runtime.source.monitors import UNKNOWN, SourceMonitors
from busway.runtime.stuck_loop import StuckLoops
from busway.runtime.worker.coordinator import Coordinator
from busway.runtime.worker.flow_runner import FlowRunner
from busway.settings import NOT_LISTENING, Settings, api_address, requires_intake_keys
from busway.source.http import IntakeConfig, IntakeLimits, IntakeServer, SourceRoute
from busway.source.mount import mounted
from busway.step import StepThreads
from busway.telemetry import Metrics, merge_metrics

if TYPE_CHECKING:
    from busway.api.mount import Mount

_log = structlog.get_logger("busway")
RETRY_S = 0.5
"""The pause after an operation that failed because the stores were unavailable."""


class Node:
    """Runs a program on opened stores until it is stopped.

    ``port`` is the port that it listens on, ``api_port`` that of the API, which differs if the API
    has an address of its own. ``worker`` is the id of a worker; by default a new one is made.
    """

    def __init__(
        self,
        program: CompiledApp,
        settings: Settings,
        stores: Stores,
        clock: Clock | None = None,
        role: Role = "all",
        worker: str = "",
    ) -> None:
        self.role = role
        self._settings = settings
        self._stores = stores
        self._clock = clock or SystemClock()
        self._outage_log = OutageLog(self._clock)
        self._metrics = Metrics()
        self._settlement_log = SettlementLog(self._clock)
        self._step_threads = StepThreads()
        self._observer = TelemetryObserver(self._metrics, self._settlement_log)
        self._appender = Appender(stores.log, self._clock, settings.dedupe_window_s, self._observer)
        self._monitors = SourceMonitors(stores.ledger, self._clock, self._metrics)
        self._state_recorder = self._create_state_recorder()
        self._coordinator = self._create_coordinator(worker)
        self._parts = self._create_flow_parts()
        self._flow_runner = self._parts.create_flow_runner(program)
        self._replay_dispatcher = self._parts.create_replay_dispatcher(self._flow_runner)
        self._append_task: asyncio.Task[None] | None = None
        self._loops: list[Loop] = []
        flow_sampler = FlowSampler(stores.log, stores.ledger, self._clock)
        self._gauges = Gauges(stores.log, flow_sampler, self._clock, self._metrics)
        self._alert_monitor = self._create_alert_monitor(flow_sampler)
        self._readiness = Readiness(stores.log, self._clock, [self._health_check()])
        self._stopping = asyncio.Event()
        self._failed_authentications = FailedAuthentications(self._clock, self._metrics)
        self.keys = KeyRing(stores.ledger, self._clock)
        self._control = self._create_control()
        self._api = None if role == "work" else self._mount_api()
        self._intake, self._api_server = self._create_servers()
        self.port = self.api_port = 0
        self.worker_metrics: Callable[[], Mapping[str, str]] = dict
        """Returns the metrics of this process's workers, by worker."""

    def _create_state_recorder(self) -> StateRecorder:
        stuck_loops = self._outage_log.stuck_loops
        return StateRecorder(self._stores.ledger, self._clock, self._metrics, stuck_loops)

    def _create_flow_parts(self) -> FlowParts:
        return FlowParts(
            settings=self._settings,
            stores=self._stores,
            clock=self._clock,
            outage_log=self._outage_log,
            observer=self._observer,
            appender=self._appender,
            state_recorder=self._state_recorder,
            coordinator=self._coordinator,
            step_threads=self._step_threads,
        )

    def _health_check(self) -> Callable[[], str | None]:
        if self._coordinator is not None and self.role == "work":
            return self._coordinator.not_ready_reason
        return self._appender.recent_failure

    def _create_coordinator(self, worker: str) -> Coordinator | None:
        if not self._stores.is_shared or self.role == "serve":
            return None
        coordinator = Coordinator(self._stores.ledger, self._clock, self._observer, worker)
        self._observer.watch_heartbeat(coordinator.heartbeat_age_s)
        return coordinator

    async def start(self) -> Self:
        """Load recent event identities, open lanes and sinks, then accept events."""
        for warning in self._stores.warnings:
            _log.warning("acknowledged events could be lost", how=warning)
        await resume_clock(self._stores.ledger, self._clock, boot_id())
        await skip_log_gaps(self._stores.log, self._stores.ledger)
        if self.role != "work":  # a worker loads them before its first append, if there is one
            await self._appender.load_recent()
            await self.keys.load()
        await self._monitors.begin(self.program)
        self._append_task = asyncio.create_task(self._append_forever())
        if self.role == "serve":
            if self._stores.directory is not None:
                await take_over(self._stores.ledger)
            await self._flow_runner.ensure_lanes()
        else:
            markers = None
            if self._coordinator is None:
                markers = await mark_process_running(self._stores.ledger, self._clock.now())
            await self._flow_runner.start(self._appender, markers)
            self._replay_dispatcher = self._parts.create_replay_dispatcher(
                self._flow_runner, markers
            )
            self._replay_dispatcher.start()
        self._loops = self._housekeeping_loops()
        for loop in self._loops:
            loop.start()
        if self.role != "work" or self._settings.port != NOT_LISTENING:
            self.port = self.api_port = await self._intake.start()
        if self._api_server is not None:
            self.api_port = await start_listening(self._api_server, self._settings)
        self._readiness.stage = None
        return self

    async def stop(self) -> bool:
        """Stop accepting events, finish and settle the batches in progress, and close.

        Returns whether all loops ended in time.
        """
        self._readiness.stage = "stopping"
        within_s = self._settings.drain_s
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._intake.drain(), within_s)
        if self._api is not None:
            await self._api.close()
        if self._api_server is not None:
            await self._api_server.close()
        await self._intake.close()
        self._failed_authentications.close()
        ended = await self._replay_dispatcher.stop(within_s)
        ended = await self._flow_runner.stop(within_s) and ended
        for loop in self._loops:
            loop.stop()
        await asyncio.gather(*(loop.join(within_s) for loop in self._loops))
        await self._monitors.close()
        self._step_threads.close()
        self._settlement_log.flush()
        self._appender.close()
        if self._append_task is not None:
            await self._append_task
        if not self._stores.is_shared:
            await mark_process_stopped(self._stores.ledger)
        await self._stores.close()
        return ended

    async def change_program(self, program: CompiledApp) -> None:
        """Replace the program; the intake goes on meanwhile.

        If a sink of the new program cannot be opened, the old program goes on, and the error is
        raised. If the stores are unavailable, the new program starts when they are back.
        """
        old_program = self._flow_runner.program
        await self._replay_dispatcher.stop(self._settings.drain_s)
        await self._flow_runner.stop(self._settings.drain_s)
        try:
            await self._start_program(program)
        except Exception:
            await self._start_program(old_program)
            raise

    async def _start_program(self, program: CompiledApp) -> None:
        while True:
            try:
                await self._start_flows(program)
            except StoreError as error:
                self._outage_log.failed("change", str(error))
                await self._clock.sleep(RETRY_S)
            else:
                self._outage_log.succeeded("change")
                return

    async def _start_flows(self, program: CompiledApp) -> None:
        self._intake.change_sources(self._routes(program))
        await self._monitors.begin(program)
        self._flow_runner = self._parts.create_flow_runner(program)
        if self.role == "serve":
            await self._flow_runner.ensure_lanes()
            return
        await self._flow_runner.start(self._appender)
        self._replay_dispatcher = self._parts.create_replay_dispatcher(self._flow_runner)
        self._replay_dispatcher.start()

    @property
    def program(self) -> CompiledApp:
        return self._flow_runner.program

    @property
    def flow_runner(self) -> FlowRunner:
        """The runner of the current program."""
        return self._flow_runner

    @property
    def control(self) -> ControlContext:
        """The context of the operations on this node."""
        return self._control

    def _create_control(self) -> ControlContext:
        return ControlContext(
            log=self._stores.log,
            ledger=self._stores.ledger,
            shared=self._stores.is_shared,
            clock=self._clock,
            program=lambda: self._flow_runner.program,
            started_at=self._clock.now(),
            rates=lambda: self._gauges.rates,
            destination=self._destination,
            publish=self._appender.publish,
            wake=self._wake,
        )

    def _mount_api(self) -> Mount:
        from busway.api.access import ApiAccess  # noqa: PLC0415 - a fifth of a worker's start
        from busway.api.app import create  # noqa: PLC0415
        from busway.api.mount import Mount  # noqa: PLC0415

        settings = self._settings
        access = ApiAccess(
            settings.api_token, settings.api_open, self._failed_authentications, self.keys
        )
        api = create(lambda: self._control, access, self._stopping)
        return Mount(api, self._stopping)

    def _destination(self, flow: str) -> Destination | None:
        return self._flow_runner.destination(flow)

    def _wake(self) -> None:
        self._flow_runner.wake()
        self._replay_dispatcher.wake()
        self._monitors.wake()

    def _housekeeping_loops(self) -> list[Loop]:
        return Housekeeping(
            role=self.role,
            settings=self._settings,
            stores=self._stores,
            clock=self._clock,
            outage_log=self._outage_log,
            duties=self._parts.duties,
            appender=self._appender,
            control=self._control,
            keys=self.keys,
            source_monitors=self._monitors,
            alert_monitor=self._alert_monitor,
            observers={
                "state-recorder": self._state_recorder.run_once,
                "gauges": self._gauges.run_once,
                "readiness": self._readiness.run_once,
                "settlement-log": self._settlement_log.run_once,
            },
        ).create_loops()

    def _create_alert_monitor(self, flow_sampler: FlowSampler) -> AlertMonitor:
        last_seen = LastSeen(self._stores.ledger, self._clock)
        self._appender.on_stored = last_seen.record
        return AlertMonitor(
            lambda: self.program,
            AlertSampler(self._stores, self._clock, flow_sampler, last_seen),
            self._stores.ledger,
            self._appender,
            self._clock,
            self._metrics,
        )

    def _create_servers(self) -> Servers:
        settings = self._settings
        config = IntakeConfig(
            intake=self._appender,
            host=settings.host,
            port=settings.port,
            limits=IntakeLimits.of(settings),
            metrics=self.metrics,
            unready_reason=self._readiness.not_ready_reason,
            notices=self._problems,
            observer=self._observer,
            accepts_events=self.role != "work",
            sources=self._routes(self.program),
            unknown=self._monitors.monitor(UNKNOWN),
            keys=self.keys if requires_intake_keys(settings) else None,
            rejects_foreign_hosts=listens_on_loopback(settings.host),
            on_key_refused=partial(self._failed_authentications.count, "intake"),
            fallback=None if self._api is None else self._api.protocol,
        )
        address = None if self._api is None else api_address(settings)
        if address is None:
            return Servers(IntakeServer(config), None)
        return separate_servers(
            config,
            address,
            intake_url=lambda: local_url(settings.host, self.port),
            api_url=lambda: self.api_url,
        )

    def _routes(self, program: CompiledApp) -> Sequence[SourceRoute]:
        return mounted(program, self._settings.max_event_bytes, self._monitors.monitor)

    @property
    def api_url(self) -> str:
        """The URL of the API on this machine."""
        address = api_address(self._settings)
        return local_url(self._settings.host if address is None else address.host, self.api_port)

    @property
    def stuck_loops(self) -> StuckLoops:
        """The loops of this process that fail again and again."""
        return self._outage_log.stuck_loops

    def _problems(self) -> Sequence[str]:
        return remarks(self._gauges.flows, self._outage_log.stuck_loops.records.values())

    def metrics(self) -> bytes:
        """Return the metrics as text, with those of this process's workers."""
        self._observer.lanes_held(self._flow_runner.held_lanes)
        self._monitors.report()
        return merge_metrics(self._metrics.render(), self.worker_metrics())

    async def _append_forever(self) -> None:
        while True:
            try:
                await self._appender.run()
            except Exception as error:
                self._outage_log.log_defect("append", error)
                await self._clock.sleep(RETRY_S)
            else:
                return
