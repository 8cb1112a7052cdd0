"""What people have asked of flows and destinations: the records of it, and whom they are about."""

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
    """One flow, or one destination by its sink's name, exactly as it is written."""

    kind: ControlScope
    name: str

    @property
    def key(self) -> str:
        """The name of its record in the ledger."""
        return f"{CONTROL}{self}"

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def target_of_key(key: str) -> ControlTarget:
    """Return whose record it is that the ledger keeps under a name."""
    kind, _, name = key.removeprefix(CONTROL).partition("/")
    return ControlTarget("destination" if kind == "destination" else "flow", name)


def decode_control_record(value: bytes) -> ControlRecord:
    """Return a record as the ledger keeps it."""
    return _decoder.decode(value)


async def control_records(ledger: Ledger) -> Mapping[ControlTarget, ControlRecord]:
    """Return every record there is."""
    found = await ledger.get_values(CONTROL)
    return {target_of_key(key): decode_control_record(value) for key, value in found.items()}


async def control_record(ledger: Ledger, target: ControlTarget) -> ControlRecord:
    """Return the record of a flow or destination; an empty one where nothing was asked."""
    found = (await ledger.get_values(target.key)).get(target.key)
    return NO_CONTROLS if found is None else decode_control_record(found)


def records_of(
    flow: str,
    destination: str,
    declared: Sequence[Window],
    found: Mapping[ControlTarget, ControlRecord],
) -> ControlRecords:
    """Return what a flow has to obey: its own record, with its declared windows, and its
    destination's."""
    own = found.get(ControlTarget("flow", flow), NO_CONTROLS)
    own = msgspec.structs.replace(own, windows=(*declared, *own.windows))
    return {
        "flow": own,
        "destination": found.get(ControlTarget("destination", destination), NO_CONTROLS),
    }


async def own_records(ledger: Ledger, target: ControlTarget) -> ControlRecords:
    """Return what a flow has to obey, or what is asked of a destination."""
    found = await control_records(ledger)
    if target.kind == "destination":
        return {"destination": found.get(target, NO_CONTROLS)}
    record = (await flow_records(ledger)).get(target.name)
    if record is None:
        return {"flow": found.get(target, NO_CONTROLS)}
    return records_of(target.name, record.destination, record.windows, found)


async def known_flow(ledger: Ledger, name: str) -> ControlTarget:
    """Return a flow. Raises :class:`NotFound`, with what may have been meant."""
    names = set(await flow_records(ledger)) | {lane.flow for lane in await ledger.lanes()}
    names = {one for one in names if not is_replay_lane(one)}
    if name not in names:
        raise NotFound.named("flow", name, sorted(names))
    return ControlTarget("flow", name)


async def known_destination(ledger: Ledger, name: str) -> ControlTarget:
    """Return a destination by its name, or by that of a flow that delivers to it.

    Raises :class:`NotFound`, with what may have been meant.
    """
    flows = await flow_records(ledger)
    names = {one.destination for one in flows.values()}
    if name not in names and name in flows:
        return ControlTarget("destination", flows[name].destination)
    if name not in names:
        raise NotFound.named("destination", name, sorted(names))
    return ControlTarget("destination", name)


_decoder = msgspec.json.Decoder(ControlRecord)
