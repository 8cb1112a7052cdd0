"""What people have asked of flows and destinations: the records of it, and whom they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from busway.control.record import flow_records
from busway.delivery.hold import Records, Scope, Steering
from busway.delivery.window import Window
from busway.errors import NotFound
from busway.lane import is_replay
from busway.ports import Ledger

CONTROL = "control/"
NOTHING = Steering()


class Target(msgspec.Struct, frozen=True):
    """One flow, or one destination by its sink's name, exactly as it is written."""

    kind: Scope
    name: str

    @property
    def key(self) -> str:
        """The name of its record in the ledger."""
        return f"{CONTROL}{self}"

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def target_of(key: str) -> Target:
    """Return whose record it is that the ledger keeps under a name."""
    kind, _, name = key.removeprefix(CONTROL).partition("/")
    return Target("destination" if kind == "destination" else "flow", name)


def decoded(value: bytes) -> Steering:
    """Return a record as the ledger keeps it."""
    return _decoder.decode(value)


async def steerings(ledger: Ledger) -> Mapping[Target, Steering]:
    """Return every record there is."""
    found = await ledger.get(CONTROL)
    return {target_of(key): decoded(value) for key, value in found.items()}


async def steering(ledger: Ledger, target: Target) -> Steering:
    """Return the record of a flow or destination; an empty one where nothing was asked."""
    found = (await ledger.get(target.key)).get(target.key)
    return NOTHING if found is None else decoded(found)


def records_of(
    flow: str, destination: str, declared: Sequence[Window], found: Mapping[Target, Steering]
) -> Records:
    """Return what a flow has to obey: its own record, with its declared windows, and its
    destination's."""
    own = found.get(Target("flow", flow), NOTHING)
    own = msgspec.structs.replace(own, windows=(*declared, *own.windows))
    return {"flow": own, "destination": found.get(Target("destination", destination), NOTHING)}


async def own_records(ledger: Ledger, target: Target) -> Records:
    """Return what a flow has to obey, or what is asked of a destination."""
    found = await steerings(ledger)
    if target.kind == "destination":
        return {"destination": found.get(target, NOTHING)}
    record = (await flow_records(ledger)).get(target.name)
    if record is None:
        return {"flow": found.get(target, NOTHING)}
    return records_of(target.name, record.destination, record.windows, found)


async def known_flow(ledger: Ledger, name: str) -> Target:
    """Return a flow. Raises :class:`NotFound`, with what may have been meant."""
    names = set(await flow_records(ledger)) | {lane.flow for lane in await ledger.lanes()}
    names = {one for one in names if not is_replay(one)}
    if name not in names:
        raise NotFound.named("flow", name, sorted(names))
    return Target("flow", name)


async def known_destination(ledger: Ledger, name: str) -> Target:
    """Return a destination by its name, or by that of a flow that delivers to it.

    Raises :class:`NotFound`, with what may have been meant.
    """
    flows = await flow_records(ledger)
    names = {one.destination for one in flows.values()}
    if name not in names and name in flows:
        return Target("destination", flows[name].destination)
    if name not in names:
        raise NotFound.named("destination", name, sorted(names))
    return Target("destination", name)


_decoder = msgspec.json.Decoder(Steering)
