"""The log in NATS JetStream: the engine of many machines."""

from __future__ import annotations

from busway.engine.jetstream.log import JetStreamLog
from busway.engine.jetstream.place import Place

__all__ = ["JetStreamLog", "Place"]
