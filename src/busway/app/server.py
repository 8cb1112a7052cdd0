"""The HTTP servers of a process: one for events, and one for an API with an address of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from busway.settings import ListenAddress
from busway.source.http import IntakeConfig, IntakeServer


class Servers(NamedTuple):
    """The server for events, and that for the API if it has an address of its own."""

    intake: IntakeServer
    api: IntakeServer | None


def separate_servers(
    config: IntakeConfig,
    api_address: ListenAddress,
    *,
    intake_url: Callable[[], str],
    api_url: Callable[[], str],
) -> Servers:
    """Return a server for events without the API, and one for the API without events.

    Each refers a request that belongs to the other one to its URL.
    """
    api = replace(
        config,
        host=api_address.host,
        port=api_address.port,
        accepts_events=False,
        other_url=intake_url,
    )
    return Servers(
        IntakeServer(replace(config, fallback=None, other_url=api_url)), IntakeServer(api)
    )
