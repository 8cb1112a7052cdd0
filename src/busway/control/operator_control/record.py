"""The control records of flows and destinations, and their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from busway.control.record import flow_records
from busway.delivery.maintenance_window import Window
from busway.delivery.operator_control import ControlRecord, ControlRecords, ControlScope
from busway.errors import NotFound
from busway.lane import is_replay_lane
from busway.ports import Ledger

CONTROL = "control/"
NO_CONTROLS = ControlRecord()


class ControlTarget(msgspec.Struct, frozen=True):
    """A flow, or a destination by the exact name of its sink."""

    kind: ControlScope
    name: str

    @property
    def key(self) -> str:
        """The name of its record in the ledger."""
        return f"{CONTROL}{self}"

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def target_of_key(key: str) -> ControlTarget:
    """Return the target of a record with this name in the ledger."""
    kind, _, name = key.removeprefix(CONTROL).partition("/")
    return ControlTarget("destination" if kind == "destination" else "flow", name)


def decode_control_record(value: bytes) -> ControlRecord:
    """Decode a record of the ledger."""
    return _decoder.decode(value)


async def control_records(ledger: Ledger) -> Mapping[ControlTarget, ControlRecord]:
    """Return all control records."""
    values = await ledger.get_values(CONTROL)
    return {target_of_key(key): decode_control_record(value) for key, value in values.items()}


async def control_record(ledger: Ledger, target: ControlTarget) -> ControlRecord:
    """Return the record of a flow or destination, an empty record if there is none."""
    value = (await ledger.get_values(target.key)).get(target.key)
    return NO_CONTROLS if value is None else decode_control_record(value)


def records_of(
    flow: str,
    destination: str,
    declared: Sequence[Window],
    records: Mapping[ControlTarget, ControlRecord],
) -> ControlRecords:
    """Return the control records that apply to a flow: its own, with its declared windows, and its
    destination's."""
    own = records.get(ControlTarget("flow", flow), NO_CONTROLS)
    own = msgspec.structs.replace(own, windows=(*declared, *own.windows))
    return {
        "flow": own,
        "destination": records.get(ControlTarget("destination", destination), NO_CONTROLS),
    }


async def own_records(ledger: Ledger, target: ControlTarget) -> ControlRecords:
    """Return the control records that apply to a flow, or the record of a destination."""
    records = await control_records(ledger)
    if target.kind == "destination":
        return {"destination": records.get(target, NO_CONTROLS)}
    record = (await flow_records(ledger)).get(target.name)
    if record is None:
        return {"flow": records.get(target, NO_CONTROLS)}
    return records_of(target.name, record.destination, record.windows, records)


async def known_flow(ledger: Ledger, name: str) -> ControlTarget:
    """Return the target of a flow. Raises :class:`NotFound`, with similar names."""
    names = set(await flow_records(ledger)) | {lane.flow for lane in await ledger.lanes()}
    names = {known for known in names if not is_replay_lane(known)}
    if name not in names:
        raise NotFound.named("flow", name, sorted(names))
    return ControlTarget("flow", name)


async def known_destination(ledger: Ledger, name: str) -> ControlTarget:
    """Return a destination by its name, or by the name of a flow that delivers to it.

    Raises :class:`NotFound`, with similar names.
    """
    flows = await flow_records(ledger)
    names = {record.destination for record in flows.values()}
    if name not in names and name in flows:
        return ControlTarget("destination", flows[name].destination)
    if name not in names:
        raise NotFound.named("destination", name, sorted(names))
    return ControlTarget("destination", name)


_decoder = msgspec.json.Decoder(ControlRecord)
