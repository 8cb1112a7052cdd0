"""The stream that holds a log: its configuration, its state, and what only its leader knows."""

from __future__ import annotations

import base64
from typing import Any, TypeVar

import msgspec

from busway.engine.jetstream.link import Link, Unanswered
from busway.engine.jetstream.message import CODING, Message, Spot, from_base64
from busway.errors import StoreError, StoreFull

NOT_FOUND = 10059
NAME_TAKEN = 10058
NO_MESSAGE = 10037
NOT_ENABLED = (10039, 10076)
_NOT_NOW = (10008, 10013, 10077)
_FULL = (10002, 10023, 10028, 10047)
_FULL_STREAM = ("maximum bytes exceeded", "maximum messages exceeded")
_OTHER_STREAM = 10060
_REMEDY = {
    NOT_FOUND: "; somebody deleted it, restore it from a backup",
    _OTHER_STREAM: "; another one has its subjects, give that one others and restore the log's own",
}


class Fault(msgspec.Struct, frozen=True):
    """What the servers refuse something with."""

    description: str = ""
    err_code: int = 0
    code: int = 0


class State(msgspec.Struct, frozen=True):
    """What a stream holds."""

    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    last_seq: int = 0

    @property
    def gone(self) -> int:
        """How many messages were trimmed: it changes whenever some are."""
        return self.last_seq - self.messages


class Peer(msgspec.Struct, frozen=True):
    """A server that keeps a copy."""

    name: str
    offline: bool = False


class Cluster(msgspec.Struct, frozen=True):
    """The servers that keep a stream."""

    leader: str = ""
    replicas: list[Peer] = []


class Info(msgspec.Struct, frozen=True):
    """A stream as its leader describes it."""

    config: dict[str, Any] = {}
    state: State = State()
    cluster: Cluster | None = None
    error: Fault | None = None


class _Raw(msgspec.Struct, frozen=True):
    seq: int
    hdrs: str = ""
    data: str = ""


class _Got(msgspec.Struct, frozen=True):
    message: _Raw | None = None
    error: Fault | None = None


class _Said(msgspec.Struct, frozen=True):
    error: Fault | None = None


Answer = TypeVar("Answer", Info, _Got, _Said)


class Refused(StoreError):
    """The servers refuse it, as they would refuse it again."""

    def __init__(self, place: object, fault: Fault) -> None:
        remedy = _REMEDY.get(fault.err_code, "")
        super().__init__(f"{place}: {fault.description} (JetStream error {fault.err_code}){remedy}")
        self.fault = fault


def refusal(place: object, fault: Fault) -> StoreError:
    """Return what a fault means for a log."""
    if fault.err_code in _FULL or fault.description in _FULL_STREAM:
        return StoreFull(
            f"{place}: {fault.description}; have the flows catch up so that old events can go,"
            " raise BUSWAY_MAX_LOG_BYTES, or make room on the servers"
        )
    if fault.err_code in _NOT_NOW or (fault.code == 503 and fault.err_code not in NOT_ENABLED):
        return Unanswered(f"{place}: {fault.description}")
    return Refused(place, fault)


class Stream:
    """Asks the leader of one stream."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.name = link.place.name

    def subject(self, partition: int) -> str:
        return f"{self.name}.{partition}"

    async def info(self) -> Info:
        """Return configuration and state; raises :class:`StoreError` when they cannot be had."""
        return await self._call(f"STREAM.INFO.{self.name}", {}, Info)

    async def create(self, config: dict[str, Any]) -> Info:
        return await self._call(f"STREAM.CREATE.{self.name}", config, Info)

    async def update(self, config: dict[str, Any]) -> Info:
        return await self._call(f"STREAM.UPDATE.{self.name}", config, Info)

    async def purge(self, partition: int, before: int) -> None:
        """Forget the messages of a partition before a sequence."""
        if before <= 1:  # servers before 2.15 take that for "all of it"
            return
        given = {"filter": self.subject(partition), "seq": before}
        await self._call(f"STREAM.PURGE.{self.name}", given, _Said)

    async def next(self, partition: int, seq: int) -> Message | None:
        """Return the first message of a partition from a sequence on, as the leader has it."""
        return await self._get({"seq": seq, "next_by_subj": self.subject(partition)})

    async def last(self, partition: int) -> Message | None:
        """Return the last message of a partition, as the leader has it."""
        return await self._get({"last_by_subj": self.subject(partition)})

    async def _get(self, wanted: dict[str, Any]) -> Message | None:
        try:
            got = await self._call(f"STREAM.MSG.GET.{self.name}", wanted, _Got)
        except Refused as refused:
            if refused.fault.err_code == NO_MESSAGE:
                return None
            raise
        if got.message is None:
            raise StoreError(f"{self.link.place}: an answer holds no message")
        place = str(self.link.place)
        headers = from_base64(got.message.hdrs)
        spot = Spot.of(headers, place, got.message.seq)
        return Message(spot, base64.b64decode(got.message.data), headers.get(CODING, ""))

    async def _call(self, what: str, given: dict[str, Any], kind: type[Answer]) -> Answer:
        (answer,) = await self.link.inquire(f"$JS.API.{what}", msgspec.json.encode(given))
        try:
            said = msgspec.json.decode(answer.data, type=kind)
        except msgspec.MsgspecError as error:
            raise StoreError(f"{self.link.place}: an answer cannot be read: {error}") from error
        if said.error is not None:
            raise refusal(self.link.place, said.error)
        return said
