"""The sinks to declare flows with: ``from busway.sinks import postgres``."""

from busway.sink.bus import Bus
from busway.sink.console import Console
from busway.sink.jsonl import Jsonl
from busway.sink.sqlite import Sqlite

__all__ = ["bus", "console", "jsonl", "sqlite"]

bus = Bus
console = Console
jsonl = Jsonl
sqlite = Sqlite
