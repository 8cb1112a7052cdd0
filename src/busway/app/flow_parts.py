"""The parts of a node that its flows are built from, again at each change of the program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from busway.bus.group_commit import Appender
from busway.clock import Clock
from busway.control.replay.file_name import file_name
from busway.delivery.poison import InFlightMarker
from busway.flow import CompiledApp
from busway.ports import Stores
from busway.runtime.context import Context
from busway.runtime.due_retry import DueRetries
from busway.runtime.lane.poison_isolation import in_flight_markers
from busway.runtime.lease.duty import REPLAY_DUTY, Duties
from busway.runtime.observe.observer import TelemetryObserver
from busway.runtime.observe.state_recorder import StateRecorder
from busway.runtime.outage_log import OutageLog
from busway.runtime.reader.readers import Readers
from busway.runtime.reader.session import ReaderHost
from busway.runtime.replay.dispatcher import ReplayDispatcher
from busway.runtime.worker.coordinator import Coordinator
from busway.runtime.worker.flow_runner import FlowRunner, create_log_reader
from busway.settings import Settings
from busway.sink.jsonl.sink import JsonlInFolder
from busway.step import StepThreads


class FlowParts(msgspec.Struct, frozen=True, kw_only=True):
    """What the flows of every program use; ``coordinator`` is set if processes share the stores."""

    settings: Settings
    stores: Stores
    clock: Clock
    outage_log: OutageLog
    observer: TelemetryObserver
    appender: Appender
    state_recorder: StateRecorder
    coordinator: Coordinator | None
    step_threads: StepThreads

    @property
    def duties(self) -> Duties | None:
        return None if self.coordinator is None else self.coordinator.duties

    def create_replay_dispatcher(
        self, flow_runner: FlowRunner, markers: Mapping[str, InFlightMarker] | None = None
    ) -> ReplayDispatcher:
        """Return the dispatcher of the program's replays.

        ``markers`` are what an unclean shutdown left, if no other process shares the stores.
        """

        async def abandoned_markers(flow: str) -> Mapping[str, InFlightMarker] | None:
            if self.coordinator is None:
                return markers
            unclean = self.coordinator.duties.was_abandoned(REPLAY_DUTY + flow)
            return await in_flight_markers(self.stores.ledger) if unclean else None

        dispatcher = ReplayDispatcher(
            flow_runner.context,
            self.stores.log,
            flow_runner.consumers,
            self._file_sink,
            self.appender,
            abandoned_markers,
        )
        if self.coordinator is not None:
            duties = self.coordinator.duties
            dispatcher.is_held = lambda flow: duties.holds(REPLAY_DUTY + flow)
            self.coordinator.replayed_flows = dispatcher.replayed_flows
        return dispatcher

    def _file_sink(self, name: str) -> JsonlInFolder:
        folder = self.settings.replay_dir or self.settings.data / "replays"
        return JsonlInFolder(Path(folder).absolute(), file_name(name))

    def create_flow_runner(self, program: CompiledApp) -> FlowRunner:
        """Return the runner of a program's flows."""
        context = Context(
            create_log_reader(program, self.stores.log),
            self.stores.ledger,
            self.clock,
            self.stores.log.identity,
            self.observer,
            DueRetries(self.stores.ledger, self.clock),
            self.outage_log,
            step_threads=self.step_threads,
        )
        host = ReaderHost(
            self.stores.log,
            self.stores.ledger,
            self.appender,
            self.clock,
            self.settings.max_event_bytes,
        )
        readers = Readers(program, host, self.outage_log, self.duties, self.observer)
        return FlowRunner(
            program, context, self.stores.log, self.state_recorder, self.coordinator, readers
        )
