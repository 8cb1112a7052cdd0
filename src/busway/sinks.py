"""The sinks for flows: ``from busway.sinks import postgres``.

They are the entry points of the group ``busway.sinks``, Busway's own and those of any other
installed distribution; one is imported when its name is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from busway.entry_point import EntryPointGroup

if TYPE_CHECKING:
    from busway.sink.bus import Bus
    from busway.sink.chat.sink import Chat
    from busway.sink.console import Console
    from busway.sink.http.sink import Http
    from busway.sink.jsonl.sink import Jsonl
    from busway.sink.postgres.sink import Postgres
    from busway.sink.smtp.sink import Smtp
    from busway.sink.sqlite.sink import Sqlite

    bus = Bus
    chat = Chat
    console = Console
    http = Http
    jsonl = Jsonl
    postgres = Postgres
    smtp = Smtp
    sqlite = Sqlite

__all__ = ["bus", "chat", "console", "http", "jsonl", "postgres", "smtp", "sqlite"]

_GROUP = EntryPointGroup("busway.sinks", "sink")


def __getattr__(name: str) -> Any:
    return _GROUP.attribute(__name__, globals(), name)


def __dir__() -> list[str]:
    return _GROUP.names()
