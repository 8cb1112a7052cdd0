"""One running Busway: stores, bus, intake and the crew that works the flows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import structlog
from msgspec.structs import replace

from busway.api.listen import start_listening
from busway.bus.group_commit import Appender
from busway.clock import Clock, SystemClock
from busway.control.clock_record import boot_id, resume_clock
from busway.control.context import ControlContext
from busway.control.replay.file_name import file_name
from busway.delivery.poison import InFlightMarker
from busway.errors import StoreError
from busway.flow import CompiledApp
from busway.network import listens_on_loopback, local_url
from busway.ports import Destination, Stores
from busway.runtime.access.failed_authentication import FailedAuthentications
from busway.runtime.access.key_ring import KeyRing
from busway.runtime.context import Context
from busway.runtime.dead_letter_job import DeadLetterJobRunner
from busway.runtime.dedupe_follower import DedupeFollower
from busway.runtime.due_retry import DueRetries
from busway.runtime.lane.poison_bisection import in_flight_markers, mark_process_running
from busway.runtime.lane.poison_bisection import mark_process_stopped as orderly
from busway.runtime.lease.duty import REPLAY_DUTY, only_on_duty
from busway.runtime.lease.takeover import take_over
from busway.runtime.log_gap import skip_log_gaps
from busway.runtime.loop import Loop, LoopBody
from busway.runtime.maintenance import Maintenance, Retention
from busway.runtime.observe.alert_monitor import AlertMonitor
from busway.runtime.observe.alert_sampler import AlertSampler
from busway.runtime.observe.clock_monitor import ClockMonitor
from busway.runtime.observe.flow_sampler import FlowSampler
from busway.runtime.observe.gauge import Gauges
from busway.runtime.observe.last_seen import LastSeen
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.settlement_log import SettlementLog
from busway.runtime.observe.state_recorder import StateRecorder
from busway.runtime.outage_log import OutageLog
from busway.runtime.process.readiness import Readiness, remarks
from busway.runtime.reader.readers import Readers
from busway.runtime.reader.session import ReaderHost
from busway.runtime.replay.dispatcher import ReplayDispatcher
from busway.runtime.source.monitors import UNKNOWN, SourceMonitors
from busway.runtime.stuck_loop import StuckLoops
from busway.runtime.worker.coordinator import Coordinator
from busway.runtime.worker.flow_runner import FlowRunner, create_log_reader
from busway.settings import NOT_LISTENING, Settings, api_address, requires_intake_keys
from busway.sink.jsonl.sink import JsonlInFolder
from busway.source.http import IntakeConfig, IntakeLimits, IntakeServer, SourceRoute
from busway.source.mount import mounted
from busway.step import StepThreads
from busway.telemetry import Metrics, merge_metrics

if TYPE_CHECKING:
    from busway.api.mount import Mount

_log = structlog.get_logger("busway")
RETRY_S = 0.5
"""After how long a change is tried again that the stores did not allow."""

Role = Literal["all", "serve", "work"]
"""What a process does: both, or only the intake and the API, or only the lanes."""


class Node:
    """Runs a program on opened stores until it is stopped; ``port`` is the one it listens on.

    ``api_port`` is that of the API, another one only where it has an address of its own.
    ``worker`` is the id of one that delivers beside others, where that is not left to it.
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
        self._state_recorder = StateRecorder(
            stores.ledger, self._clock, self._metrics, self._outage_log.stuck_loops
        )
        self._coordinator = self._create_coordinator(worker)
        self._flow_runner = self._create_flow_runner(program)
        self._replay_dispatcher = self._create_replay_dispatcher(self._flow_runner)
        self._append_task: asyncio.Task[None] | None = None
        self._loops: list[Loop] = []
        survey = FlowSampler(stores.log, stores.ledger, self._clock)
        self._gauges = Gauges(stores.log, survey, self._clock, self._metrics)
        self._alert_monitor = self._create_alert_monitor(survey)
        self._readiness = Readiness(stores.log, self._clock, [self._health_check()])
        self._stopping = asyncio.Event()
        self._failed_authentications = FailedAuthentications(self._clock, self._metrics)
        self.keys = KeyRing(stores.ledger, self._clock)
        self._control = self._create_control()
        self._api = None if role == "work" else self._mount_api()
        self._intake, self._api_server = self._servers()
        self.port = self.api_port = 0
        self.worker_metrics: Callable[[], Mapping[str, str]] = dict
        """Returns the metrics of the workers of this process, by what they are called."""

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
        """Learn what came last, open lanes and sinks, then take events."""
        for caution in self._stores.warnings:
            _log.warning("acknowledged events could be lost", how=caution)
        await resume_clock(self._stores.ledger, self._clock, boot_id())
        await skip_log_gaps(self._stores.log, self._stores.ledger)
        if self.role != "work":  # which learns before it appends, should it ever do so
            await self._appender.load_recent()
            await self.keys.load()
        await self._monitors.begin(self.program)
        self._append_task = asyncio.create_task(self._append_forever())
        if self.role == "serve":
            if self._stores.directory is not None:
                await take_over(self._stores.ledger)
            await self._flow_runner.ensure_lanes()
        else:
            alone = self._coordinator is None
            marks = (
                await mark_process_running(self._stores.ledger, self._clock.now())
                if alone
                else None
            )
            await self._flow_runner.start(self._appender, marks)
            self._replay_dispatcher = self._create_replay_dispatcher(self._flow_runner, marks)
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
        """Take no more, finish what is in hand, settle, close; say whether all ended in time."""
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
            await orderly(self._stores.ledger)
        await self._stores.close()
        return ended

    async def change_program(self, program: CompiledApp) -> None:
        """Work another program from now on; the intake goes on meanwhile.

        When a sink of it cannot be opened, the program before goes on, and the error is raised.
        Where the stores are away, it begins when they are back.
        """
        before = self._flow_runner.program
        await self._replay_dispatcher.stop(self._settings.drain_s)
        await self._flow_runner.stop(self._settings.drain_s)
        try:
            await self._start_program(program)
        except Exception:
            await self._start_program(before)
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
        self._flow_runner = self._create_flow_runner(program)
        if self.role == "serve":
            await self._flow_runner.ensure_lanes()
            return
        await self._flow_runner.start(self._appender)
        self._replay_dispatcher = self._create_replay_dispatcher(self._flow_runner)
        self._replay_dispatcher.start()

    @property
    def program(self) -> CompiledApp:
        return self._flow_runner.program

    @property
    def flow_runner(self) -> FlowRunner:
        """Who works the flows now."""
        return self._flow_runner

    @property
    def control(self) -> ControlContext:
        """What operations on this node work on."""
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

    def _create_replay_dispatcher(
        self, flow_runner: FlowRunner, markers: Mapping[str, InFlightMarker] | None = None
    ) -> ReplayDispatcher:
        async def left(flow: str) -> Mapping[str, InFlightMarker] | None:
            if self._coordinator is None:
                return markers
            unclean = self._coordinator.duties.was_abandoned(REPLAY_DUTY + flow)
            return await in_flight_markers(self._stores.ledger) if unclean else None

        log, bus = self._stores.log, self._appender
        replays = ReplayDispatcher(
            flow_runner.context, log, flow_runner.consumers, self._file_sink, bus, left
        )
        if self._coordinator is not None:
            duties = self._coordinator.duties
            replays.is_held = lambda flow: duties.holds(REPLAY_DUTY + flow)
            self._coordinator.replayed_flows = replays.replayed_flows
        return replays

    def _file_sink(self, name: str) -> JsonlInFolder:
        folder = self._settings.replay_dir or self._settings.data / "replays"
        return JsonlInFolder(Path(folder).absolute(), file_name(name))

    def _create_flow_runner(self, program: CompiledApp) -> FlowRunner:
        hub = Context(
            create_log_reader(program, self._stores.log),
            self._stores.ledger,
            self._clock,
            self._stores.log.identity,
            self._observer,
            DueRetries(self._stores.ledger, self._clock),
            self._outage_log,
            step_threads=self._step_threads,
        )
        most = self._settings.max_event_bytes
        duties = None if self._coordinator is None else self._coordinator.duties
        host = ReaderHost(self._stores.log, hub.ledger, self._appender, self._clock, most)
        readers = Readers(program, host, self._outage_log, duties, self._observer)
        return FlowRunner(
            program, hub, self._stores.log, self._state_recorder, self._coordinator, readers
        )

    def _housekeeping_loops(self) -> list[Loop]:
        log, ledger, settings = self._stores.log, self._stores.ledger, self._settings
        away = self._outage_log
        retention = Retention(settings.retention_age_s, settings.retention_bytes)
        keeper = ClockMonitor(ledger, self._clock, self._records_clock)
        turns = (
            self._state_recorder.run_once,
            self._gauges.run_once,
            self._readiness.run_once,
            keeper.run_once,
            self._settlement_log.run_once,
        )
        names = ("state-recorder", "gauges", "readiness", "clock", "settlement-log")
        loops = [Loop(name, turn, away) for name, turn in zip(names, turns, strict=True)]
        if self.role != "work":
            loops.append(Loop("keys", self.keys.run_once, away))
            loops.append(Loop("sources", self._monitors.turn, away))
        if self.role != "work" and self._stores.is_shared:
            loops.append(Loop("last-seen", self._alert_monitor.track_sources, away))
        if self._stores.is_shared:
            following = [DedupeFollower(self._appender, p).run_once for p in range(log.partitions)]
            loops += [Loop(f"follow/{p}", turn, away) for p, turn in enumerate(following)]
        if self.role == "serve":
            return loops
        once: dict[str, LoopBody] = {
            "redrive": DeadLetterJobRunner(self._control).run_once,
            "maintenance": Maintenance(log, ledger, self._clock, retention).run_once,
            "alerts": self._alert_monitor.run_once,
        }
        duties = None if self._coordinator is None else self._coordinator.duties
        rests = {"alerts": self._alert_monitor.on_standby}
        return loops + [
            Loop(name, only_on_duty(name, duties, turn, rests.get(name)), away)
            for name, turn in once.items()
        ]

    def _records_clock(self) -> bool:
        if self._coordinator is None:
            return self.role == "all"
        return self._coordinator.duties.holds("maintenance")

    def _create_alert_monitor(self, flow_sampler: FlowSampler) -> AlertMonitor:
        seen = LastSeen(self._stores.ledger, self._clock)
        self._appender.on_stored = seen.record
        reader = AlertSampler(self._stores, self._clock, flow_sampler, seen)
        bus, clock, metrics = self._appender, self._clock, self._metrics
        return AlertMonitor(lambda: self.program, reader, self._stores.ledger, bus, clock, metrics)

    def _servers(self) -> tuple[IntakeServer, IntakeServer | None]:
        """Return what listens for events, and what does for an API with an address of its own."""
        api = None if self._api is None else self._api.protocol
        at = None if api is None else api_address(self._settings)
        config = IntakeConfig(
            intake=self._appender,
            host=self._settings.host,
            port=self._settings.port,
            limits=IntakeLimits.of(self._settings),
            metrics=self.metrics,
            unready_reason=self._readiness.not_ready_reason,
            notices=self._problems,
            observer=self._observer,
            accepts_events=self.role != "work",
            sources=self._routes(self.program),
            unknown=self._monitors.monitor(UNKNOWN),
            keys=self.keys if requires_intake_keys(self._settings) else None,
            rejects_foreign_hosts=listens_on_loopback(self._settings.host),
            on_key_refused=partial(self._failed_authentications.count, "intake"),
            fallback=api if at is None else None,
        )
        if at is None:
            return IntakeServer(config), None
        of_api = replace(config, host=at[0], port=at[1], accepts_events=False, fallback=api)
        of_api = replace(of_api, other_url=lambda: local_url(self._settings.host, self.port))
        return IntakeServer(replace(config, other_url=lambda: self.api_url)), IntakeServer(of_api)

    def _routes(self, program: CompiledApp) -> Sequence[SourceRoute]:
        return mounted(program, self._settings.max_event_bytes, self._monitors.monitor)

    @property
    def api_url(self) -> str:
        """Where this machine reaches the API."""
        at = api_address(self._settings)
        return local_url(self._settings.host if at is None else at[0], self.api_port)

    @property
    def stuck_loops(self) -> StuckLoops:
        """Which loops of this process do not get on."""
        return self._outage_log.stuck_loops

    def _problems(self) -> Sequence[str]:
        return remarks(self._gauges.flows, self._outage_log.stuck_loops.records.values())

    def metrics(self) -> bytes:
        """Return the metrics as text, with those of others that are told of here."""
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
