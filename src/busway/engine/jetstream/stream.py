"""The stream that holds a log: requests to its leader, and what its errors mean."""

from __future__ import annotations

import base64
from typing import Any, TypeVar

import msgspec

from busway.engine.jetstream.connection import NatsConnection, NoReply
from busway.engine.jetstream.stored_message import (
    ENCODING_HEADER,
    BatchPosition,
    StoredMessage,
    decode_headers,
)
from busway.errors import StoreError, StoreFull

STREAM_NOT_FOUND = 10059
STREAM_NAME_IN_USE = 10058
NO_MESSAGE_FOUND = 10037
WRONG_SEQUENCE_ERRORS = (10071, 10164)
JETSTREAM_NOT_ENABLED_ERRORS = (10039, 10076)
_UNAVAILABLE_ERRORS = (10008, 10013, 10077)
_FULL_ERRORS = (10002, 10023, 10028, 10047)
_FULL_DESCRIPTIONS = ("maximum bytes exceeded", "maximum messages exceeded")
_STREAM_MISMATCH = 10060
_REMEDIES = {
    STREAM_NOT_FOUND: "; it was deleted, restore it from a backup",
    _STREAM_MISMATCH: "; another stream has its subjects: change those, then restore this one",
}


class ApiError(msgspec.Struct, frozen=True):
    """The error in a response of the servers."""

    description: str = ""
    err_code: int = 0
    code: int = 0


class StreamState(msgspec.Struct, frozen=True):
    """The state of a stream."""

    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    last_seq: int = 0

    @property
    def deleted_count(self) -> int:
        """How many messages were deleted; it changes with every trim."""
        return self.last_seq - self.messages


class PeerInfo(msgspec.Struct, frozen=True):
    """A server with a copy of the stream."""

    name: str
    offline: bool = False


class ClusterInfo(msgspec.Struct, frozen=True):
    """The servers with a copy of the stream."""

    leader: str = ""
    replicas: list[PeerInfo] = []


class StreamInfo(msgspec.Struct, frozen=True):
    """A stream as its leader describes it."""

    config: dict[str, Any] = {}
    state: StreamState = StreamState()
    cluster: ClusterInfo | None = None
    error: ApiError | None = None


class PublishAck(msgspec.Struct, frozen=True):
    """The response to a published message."""

    seq: int = 0
    error: ApiError | None = None


class _RawMessage(msgspec.Struct, frozen=True):
    seq: int
    hdrs: str = ""
    data: str = ""


class _GetMessageResponse(msgspec.Struct, frozen=True):
    message: _RawMessage | None = None
    error: ApiError | None = None


class _ApiResponse(msgspec.Struct, frozen=True):
    error: ApiError | None = None


Response = TypeVar("Response", StreamInfo, _GetMessageResponse, _ApiResponse)


class RequestRefused(StoreError):
    """The servers refused the request, and would refuse it again."""

    def __init__(self, label: object, error: ApiError) -> None:
        remedy = _REMEDIES.get(error.err_code, "")
        super().__init__(f"{label}: {error.description} (JetStream error {error.err_code}){remedy}")
        self.error = error


def to_store_error(label: object, error: ApiError) -> StoreError:
    """Return the store error that an error of the servers means."""
    if error.err_code in _FULL_ERRORS or error.description in _FULL_DESCRIPTIONS:
        return StoreFull(
            f"{label}: {error.description}; have the flows catch up so that old events can go,"
            " raise BUSWAY_MAX_LOG_BYTES, or make room on the servers"
        )
    if error.err_code in _UNAVAILABLE_ERRORS or (
        error.code == 503 and error.err_code not in JETSTREAM_NOT_ENABLED_ERRORS
    ):
        return NoReply(f"{label}: {error.description}")
    return RequestRefused(label, error)


class LogStream:
    """Requests to the leader of one stream."""

    def __init__(self, connection: NatsConnection) -> None:
        self.connection = connection
        self.name = connection.address.name

    def subject(self, partition: int) -> str:
        return f"{self.name}.{partition}"

    async def info(self) -> StreamInfo:
        """Return configuration and state; raises :class:`StoreError` if there is no response."""
        return await self._call(f"STREAM.INFO.{self.name}", {}, StreamInfo)

    async def create(self, config: dict[str, Any]) -> StreamInfo:
        return await self._call(f"STREAM.CREATE.{self.name}", config, StreamInfo)

    async def update(self, config: dict[str, Any]) -> StreamInfo:
        return await self._call(f"STREAM.UPDATE.{self.name}", config, StreamInfo)

    async def purge(self, partition: int, before_seq: int) -> None:
        """Delete the messages of a partition before a sequence."""
        if before_seq <= 1:  # servers before 2.15 would delete all messages
            return
        body = {"filter": self.subject(partition), "seq": before_seq}
        await self._call(f"STREAM.PURGE.{self.name}", body, _ApiResponse)

    async def next_message(self, partition: int, seq: int) -> StoredMessage | None:
        """Return the first message of a partition from a sequence on, as the leader has it."""
        return await self._get_message({"seq": seq, "next_by_subj": self.subject(partition)})

    async def last_message(self, partition: int) -> StoredMessage | None:
        """Return the last message of a partition, as the leader has it."""
        return await self._get_message({"last_by_subj": self.subject(partition)})

    async def _get_message(self, query: dict[str, Any]) -> StoredMessage | None:
        try:
            response = await self._call(f"STREAM.MSG.GET.{self.name}", query, _GetMessageResponse)
        except RequestRefused as refused:
            if refused.error.err_code == NO_MESSAGE_FOUND:
                return None
            raise
        message, label = response.message, str(self.connection.address)
        if message is None:
            raise StoreError(f"{label}: a response has no message")
        headers = decode_headers(message.hdrs)
        position = BatchPosition.from_headers(headers, label, message.seq)
        return StoredMessage(
            position, base64.b64decode(message.data), headers.get(ENCODING_HEADER, "")
        )

    async def _call(self, operation: str, body: dict[str, Any], kind: type[Response]) -> Response:
        (reply,) = await self.connection.request_repeatedly(
            f"$JS.API.{operation}", msgspec.json.encode(body)
        )
        try:
            response = msgspec.json.decode(reply.data, type=kind)
        except msgspec.MsgspecError as error:
            raise StoreError(f"{self.connection.address}: invalid response: {error}") from error
        if response.error is not None:
            raise to_store_error(self.connection.address, response.error)
        return response
