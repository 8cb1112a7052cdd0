"""The address of an API that has one of its own."""

from __future__ import annotations

from busway.errors import SettingsError
from busway.settings import ListenAddress, Settings, api_address
from busway.source.http import IntakeServer


async def start_listening(server: IntakeServer, settings: Settings) -> int:
    """Start the server of the API; return its port."""
    try:
        return await server.start()
    except OSError as error:
        host, port = api_address(settings) or ListenAddress("", 0)
        raise SettingsError(
            f"the API cannot listen on {host or 'every address'} port {port}: {error.strerror};"
            " choose another --api-host or --api-port"
        ) from error
