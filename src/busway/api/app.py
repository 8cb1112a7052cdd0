"""The API as an ASGI app: every declared operation, and the routes that are written by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Annotated, Any

from litestar import Litestar, Request, Router
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.types import ASGIApp

from busway.actor import Actor
from busway.api.access import (
    ApiAccess,
    authorized_as,
    caller_name,
    require_access,
    require_authorized,
)
from busway.api.etag import add_etags
from busway.api.event_story import show_event
from busway.api.event_stream import tail_events
from busway.api.head_request import answer_head
from busway.api.nul import refuse_nul
from busway.api.openapi import PREFIX, config
from busway.api.problem import HANDLERS
from busway.api.query import refuse_unknown_parameters, require_body
from busway.api.route import route_handlers
from busway.api.welcome import welcome
from busway.control.context import ControlContext
from busway.control.discovery import all_operations
from busway.control.log.tail import TailLoad


def create(
    control: Callable[[], ControlContext], access: ApiAccess, stopping: asyncio.Event | None = None
) -> ASGIApp:
    """Return the API on what ``control`` returns, for callers with ``access``.

    ``stopping`` ends endless answers, like a live tail.
    """
    return require_access(answer_head(add_etags(create_routes(control, stopping))), access)


def create_in_process(control: Callable[[], ControlContext], user: str) -> ASGIApp:
    """Return the API for the user of this process, which has opened the stores itself."""
    return authorized_as(user, answer_head(add_etags(create_routes(control))))


def create_routes(
    control: Callable[[], ControlContext], stopping: asyncio.Event | None = None
) -> Litestar:
    """Return the routes without authentication."""
    end, load = stopping or asyncio.Event(), TailLoad()
    return _Routes(
        [welcome, Router(PREFIX, route_handlers=[show_event, tail_events, *operation_handlers()])],
        dependencies={
            "control": Provide(control, sync_to_thread=False),
            "load": Provide(lambda: load, sync_to_thread=False),
            "stopping": Provide(lambda: end, sync_to_thread=False),
            "who": Provide(actor, sync_to_thread=False),
        },
        exception_handlers=HANDLERS,
        guards=[require_authorized, refuse_unknown_parameters, require_body, refuse_nul],
        logging_config=None,
        openapi_config=config(version("busway")),
    )


class _Routes(Litestar):
    """Litestar without its plugins for Pydantic, which take long to import: we use msgspec."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def operation_handlers() -> Iterator[HTTPRouteHandler]:
    """Yield the handlers of every declared operation."""
    for operation in all_operations():
        yield from route_handlers(operation)


def actor(
    request: Request[Any, Any, Any],
    actor: Annotated[
        str | None,
        HeaderParameter(
            name="Busway-Actor",
            description="A remark that the audit trail stores with the credential.",
        ),
    ] = None,
) -> str:
    """Return the actor of a change, as the audit trail stores it."""
    said = (actor or "").encode("latin-1", "replace").decode("utf-8", "replace")
    return str(Actor.of(caller_name(request.scope), said))
