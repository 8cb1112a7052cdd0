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
from busway.bus.append import Appender
from busway.clock import Clock, SystemClock
from busway.control.control import Control
from busway.control.replay.file_name import file_name
from busway.control.timekeeping import boot_id, continue_in_time
from busway.delivery.care import Mark
from busway.errors import StoreError
from busway.flow import Program
from busway.network import listens_on_loopback, local_url
from busway.ports import Destination, Stores
from busway.runtime.access.key_ring import KeyRing
from busway.runtime.access.refusals import Refusals
from busway.runtime.crew.crew import Crew, follow_for
from busway.runtime.crew.shift import Shift
from busway.runtime.due import Dues
from busway.runtime.following import Following
from busway.runtime.hub import Hub
from busway.runtime.lane.careful import begun, marked
from busway.runtime.lane.careful import ended as orderly
from busway.runtime.lease.duty import REPLAY, on_duty
from busway.runtime.lease.inherit import inherit
from busway.runtime.loop import Loop, Turn
from busway.runtime.loss import go_on_behind
from busway.runtime.observe.alert import Alerts
from busway.runtime.observe.gauge import Gauges
from busway.runtime.observe.observer import Observer
from busway.runtime.observe.reading import Reader
from busway.runtime.observe.record import Recorder
from busway.runtime.observe.seen import Seen
from busway.runtime.observe.survey import Survey
from busway.runtime.observe.timekeeper import Timekeeper
from busway.runtime.outage import Outage
from busway.runtime.process.readiness import Readiness
from busway.runtime.reader.readers import Readers
from busway.runtime.reader.session import ReaderHost
from busway.runtime.redrive import Redriver
from busway.runtime.replay.dispatch import Replays
from busway.runtime.stuck import StuckLoops
from busway.runtime.upkeep import Retention, Upkeep
from busway.settings import NO_PORT, Settings, api_address, needs_keys
from busway.sink.jsonl import JsonlInFolder
from busway.source.http import IntakeConfig, IntakeServer, Limits, SourceRoute
from busway.source.mount import mounted
from busway.telemetry import Metrics, merged

if TYPE_CHECKING:
    from busway.api.mount import Mount

_log = structlog.get_logger("busway")
AGAIN_S = 0.5
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
        program: Program,
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
        self._outage = Outage(self._clock)
        self._metrics = Metrics()
        self._observer = Observer(self._metrics)
        self._appender = Appender(stores.log, self._clock, settings.dedupe_window_s, self._observer)
        self._recorder = Recorder(stores.ledger, self._clock, self._metrics, self._outage.stuck)
        works = stores.shared and role != "serve"
        self._shift = Shift(stores.ledger, self._clock, self._observer, worker) if works else None
        if self._shift is not None:
            self._observer.beating(self._shift.beat_age_s)
        self._crew = self._crew_for(program)
        self._replays = self._replays_of(self._crew)
        self._appending: asyncio.Task[None] | None = None
        self._loops: list[Loop] = []
        survey = Survey(stores.log, stores.ledger, self._clock)
        self._gauges = Gauges(stores.log, survey, self._clock, self._metrics)
        self._alerts = self._alerts_on(survey)
        doubts = [self._shift.doubt] if self._shift and role == "work" else [self._appender.failing]
        self._readiness = Readiness(stores.log, self._clock, doubts)
        self._stopping = asyncio.Event()
        self._refusals = Refusals(self._clock, self._metrics)
        self.keys = KeyRing(stores.ledger, self._clock)
        self._control = self._control_of()
        self._api = None if role == "work" else self._mounted()
        self._intake, self._api_server = self._servers()
        self.port = self.api_port = 0
        self.others: Callable[[], Mapping[str, str]] = dict
        """Returns the metrics of the workers of this process, by what they are called."""

    async def start(self) -> Self:
        """Learn what came last, open lanes and sinks, then take events."""
        for caution in self._stores.cautions:
            _log.warning("what was acknowledged could be lost", how=caution)
        await continue_in_time(self._stores.ledger, self._clock, boot_id())
        await go_on_behind(self._stores.log, self._stores.ledger)
        if self.role != "work":  # which learns before it appends, should it ever do so
            await self._appender.rebuild()
            await self.keys.load()
        self._appending = asyncio.create_task(self._append_forever())
        if self.role == "serve":
            if self._stores.place is not None:
                await inherit(self._stores.ledger)
            await self._crew.muster()
        else:
            alone = self._shift is None
            marks = await begun(self._stores.ledger, self._clock.now()) if alone else None
            await self._crew.start(self._appender, marks)
            self._replays = self._replays_of(self._crew, marks)
            self._replays.start()
        self._loops = self._housekeeping()
        for loop in self._loops:
            loop.start()
        if self.role != "work" or self._settings.port != NO_PORT:
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
        self._refusals.close()
        ended = await self._replays.stop(within_s)
        ended = await self._crew.stop(within_s) and ended
        for loop in self._loops:
            loop.stop()
        await asyncio.gather(*(loop.join(within_s) for loop in self._loops))
        self._appender.close()
        if self._appending is not None:
            await self._appending
        if not self._stores.shared:
            await orderly(self._stores.ledger)
        await self._stores.close()
        return ended

    async def change(self, program: Program) -> None:
        """Work another program from now on; the intake goes on meanwhile.

        When a sink of it cannot be opened, the program before goes on, and the error is raised.
        Where the stores are away, it begins when they are back.
        """
        before = self._crew.program
        await self._replays.stop(self._settings.drain_s)
        await self._crew.stop(self._settings.drain_s)
        try:
            await self._begin(program)
        except Exception:
            await self._begin(before)
            raise

    async def _begin(self, program: Program) -> None:
        while True:
            try:
                await self._staff(program)
            except StoreError as error:
                self._outage.failed("change", str(error))
                await self._clock.sleep(AGAIN_S)
            else:
                self._outage.passed("change")
                return

    async def _staff(self, program: Program) -> None:
        self._intake.change_sources(self._routes(program))
        self._crew = self._crew_for(program)
        if self.role == "serve":
            await self._crew.muster()
            return
        await self._crew.start(self._appender)
        self._replays = self._replays_of(self._crew)
        self._replays.start()

    @property
    def program(self) -> Program:
        return self._crew.program

    @property
    def crew(self) -> Crew:
        """Who works the flows now."""
        return self._crew

    @property
    def control(self) -> Control:
        """What operations on this node work on."""
        return self._control

    def _control_of(self) -> Control:
        return Control(
            log=self._stores.log,
            ledger=self._stores.ledger,
            shared=self._stores.shared,
            clock=self._clock,
            program=lambda: self._crew.program,
            started_at=self._clock.now(),
            rates=lambda: self._gauges.rates,
            destination=self._destination,
            publish=self._appender.publish,
            wake=self._wake,
        )

    def _mounted(self) -> Mount:
        from busway.api.access import Access  # noqa: PLC0415 - a fifth of a worker's start
        from busway.api.app import create  # noqa: PLC0415
        from busway.api.mount import Mount  # noqa: PLC0415

        settings = self._settings
        access = Access(settings.api_token, settings.api_open, self._refusals, self.keys)
        api = create(lambda: self._control, access, self._stopping)
        return Mount(api, self._stopping)

    def _destination(self, flow: str) -> Destination | None:
        return self._crew.destination(flow)

    def _wake(self) -> None:
        self._crew.wake()
        self._replays.wake()

    def _replays_of(self, crew: Crew, marks: Mapping[str, Mark] | None = None) -> Replays:
        async def left(flow: str) -> Mapping[str, Mark] | None:
            if self._shift is None:
                return marks
            unclean = self._shift.duties.was_left(REPLAY + flow)
            return await marked(self._stores.ledger) if unclean else None

        log, bus = self._stores.log, self._appender
        replays = Replays(crew.hub, log, crew.assignments, self._file_named, bus, left)
        if self._shift is not None:
            duties = self._shift.duties
            replays.mine = lambda flow: duties.has(REPLAY + flow)
            self._shift.replayed = replays.delivered
        return replays

    def _file_named(self, name: str) -> JsonlInFolder:
        folder = self._settings.replay_dir or self._settings.data / "replays"
        return JsonlInFolder(Path(folder).absolute(), file_name(name))

    def _crew_for(self, program: Program) -> Crew:
        hub = Hub(
            follow_for(program, self._stores.log),
            self._stores.ledger,
            self._clock,
            self._stores.log.identity,
            self._observer,
            Dues(self._stores.ledger, self._clock),
            self._outage,
        )
        most = self._settings.max_event_bytes
        duties = None if self._shift is None else self._shift.duties
        host = ReaderHost(self._stores.log, hub.ledger, self._appender, self._clock, most)
        readers = Readers(program, host, self._outage, duties)
        return Crew(program, hub, self._stores.log, self._recorder, self._shift, readers)

    def _housekeeping(self) -> list[Loop]:
        log, ledger, settings = self._stores.log, self._stores.ledger, self._settings
        away = self._outage
        retention = Retention(settings.retention_age_s, settings.retention_bytes)
        keeper = Timekeeper(ledger, self._clock, self._keeps_time)
        turns = (self._recorder.turn, self._gauges.turn, self._readiness.turn, keeper.turn)
        names = ("record", "gauges", "readiness", "clock")
        loops = [Loop(name, turn, away) for name, turn in zip(names, turns, strict=True)]
        if self.role != "work":
            loops.append(Loop("keys", self.keys.turn, away))
        if self.role != "work" and self._stores.shared:
            loops.append(Loop("seen", self._alerts.attend, away))
        if self._stores.shared:
            following = [Following(self._appender, p).turn for p in range(log.partitions)]
            loops += [Loop(f"follow/{p}", turn, away) for p, turn in enumerate(following)]
        if self.role == "serve":
            return loops
        once: dict[str, Turn] = {
            "redrive": Redriver(self._control).turn,
            "upkeep": Upkeep(log, ledger, self._clock, retention).turn,
            "alerts": self._alerts.turn,
        }
        duties = None if self._shift is None else self._shift.duties
        rests = {"alerts": self._alerts.rest}
        return loops + [
            Loop(name, on_duty(name, duties, turn, rests.get(name)), away)
            for name, turn in once.items()
        ]

    def _keeps_time(self) -> bool:
        if self._shift is None:
            return self.role == "all"
        return self._shift.duties.has("upkeep")

    def _alerts_on(self, survey: Survey) -> Alerts:
        seen = Seen(self._stores.ledger, self._clock)
        self._appender.witness = seen.note
        reader = Reader(self._stores, self._clock, survey, seen)
        bus, clock, metrics = self._appender, self._clock, self._metrics
        return Alerts(lambda: self.program, reader, self._stores.ledger, bus, clock, metrics)

    def _servers(self) -> tuple[IntakeServer, IntakeServer | None]:
        """Return what listens for events, and what does for an API with an address of its own."""
        api = None if self._api is None else self._api.protocol
        at = None if api is None else api_address(self._settings)
        config = IntakeConfig(
            intake=self._appender,
            host=self._settings.host,
            port=self._settings.port,
            limits=Limits.of(self._settings),
            metrics=self.metrics,
            ready=self._readiness.why_not,
            remarks=self._remarks,
            observer=self._observer,
            takes_events=self.role != "work",
            sources=self._routes(self.program),
            keys=self.keys if needs_keys(self._settings) else None,
            own_names_only=listens_on_loopback(self._settings.host),
            refused=partial(self._refusals.count, "intake"),
            fallback=api if at is None else None,
        )
        if at is None:
            return IntakeServer(config), None
        of_api = replace(config, host=at[0], port=at[1], takes_events=False, fallback=api)
        of_api = replace(of_api, other=lambda: local_url(self._settings.host, self.port))
        return IntakeServer(replace(config, other=lambda: self.api_url)), IntakeServer(of_api)

    def _routes(self, program: Program) -> Sequence[SourceRoute]:
        return mounted(program, self._settings.max_event_bytes)

    @property
    def api_url(self) -> str:
        """Where this machine reaches the API."""
        at = api_address(self._settings)
        return local_url(self._settings.host if at is None else at[0], self.api_port)

    @property
    def stuck(self) -> StuckLoops:
        """Which loops of this process do not get on."""
        return self._outage.stuck

    def _remarks(self) -> Sequence[str]:
        """Return what does not get on though events are taken: flows anywhere, loops of here."""
        flows = [
            f"flow {one.name} is stuck: {one.state_reason}"
            for one in self._gauges.flows
            if one.state == "stuck"
        ]
        records = self._outage.stuck.records.values()
        return [*flows, *(one.text for one in records if not one.flow)]

    def metrics(self) -> bytes:
        """Return the metrics as text, with those of others that are told of here."""
        self._observer.holding(self._crew.held)
        return merged(self._metrics.render(), self.others())

    async def _append_forever(self) -> None:
        while True:
            try:
                await self._appender.run()
            except Exception as error:
                self._outage.tell("append", error)
                await self._clock.sleep(AGAIN_S)
            else:
                return
