"""The sinks to declare flows with: ``from busway.sinks import postgres``."""

from busway.sink.bus import Bus
from busway.sink.chat.sink import Chat
from busway.sink.console import Console
from busway.sink.http.sink import Http
from busway.sink.jsonl.sink import Jsonl
from busway.sink.postgres.sink import Postgres
from busway.sink.smtp.sink import Smtp
from busway.sink.sqlite.sink import Sqlite

__all__ = ["bus", "chat", "console", "http", "jsonl", "postgres", "smtp", "sqlite"]

bus = Bus
chat = Chat
console = Console
http = Http
jsonl = Jsonl
postgres = Postgres
smtp = Smtp
sqlite = Sqlite
