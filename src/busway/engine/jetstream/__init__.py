"""The log in NATS JetStream: the engine of many machines."""

from __future__ import annotations

from busway.engine.jetstream.address import JetStreamAddress
from busway.engine.jetstream.log import JetStreamLog

__all__ = ["JetStreamAddress", "JetStreamLog"]
