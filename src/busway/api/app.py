"""The API: every operation of ``control`` over HTTP, a router for each resource."""

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
from busway.api import (
    alert,
    audit,
    dead,
    destination,
    event,
    flow,
    lifecycle,
    replay,
    status,
    tail,
    welcome,
    worker,
)
from busway.api.access import Access, guarded, let_in, proven_as, proven_name
from busway.api.etag import tagging
from busway.api.head import heading
from busway.api.openapi import PREFIX, config
from busway.api.problem import HANDLERS
from busway.api.query import body_given, known_parameters
from busway.api.route import handlers_of
from busway.api.text import without_nul
from busway.control.context import ControlContext
from busway.control.discovery import all_operations
from busway.control.log.tail import TailLoad

ROUTERS: tuple[Router, ...] = (
    status.router,
    worker.router,
    flow.router,
    lifecycle.router,
    event.router,
    event.stories,
    destination.router,
    alert.router,
    dead.router,
    replay.router,
    audit.router,
    tail.router,
)
"""Each resource's router; a new resource is a module with a ``router``, and a line here."""


def create(
    control: Callable[[], ControlContext], access: Access, stopping: asyncio.Event | None = None
) -> ASGIApp:
    """Return the API on what ``control`` returns, for whoever has ``access``.

    ``stopping`` ends what would go on for ever, like a live tail.
    """
    return guarded(heading(tagging(routed(control, stopping))), access)


def inside(control: Callable[[], ControlContext], user: str) -> ASGIApp:
    """Return the API for the user of this process, which has the stores open itself."""
    return proven_as(user, heading(tagging(routed(control))))


def routed(
    control: Callable[[], ControlContext], stopping: asyncio.Event | None = None
) -> Litestar:
    """Return the routes alone, open to everybody."""
    end, load = stopping or asyncio.Event(), TailLoad()
    return _Routes(
        [welcome.welcome, Router(PREFIX, route_handlers=[*ROUTERS, *derived()])],
        dependencies={
            "control": Provide(control, sync_to_thread=False),
            "load": Provide(lambda: load, sync_to_thread=False),
            "stopping": Provide(lambda: end, sync_to_thread=False),
            "who": Provide(who, sync_to_thread=False),
        },
        exception_handlers=HANDLERS,
        guards=[let_in, known_parameters, body_given, without_nul],
        logging_config=None,
        openapi_config=config(version("busway")),
    )


class _Routes(Litestar):
    """Without what Litestar adds for Pydantic and takes long to import: our types are msgspec's."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def derived() -> Iterator[HTTPRouteHandler]:
    """Yield the handlers of every declared operation."""
    for operation in all_operations():
        yield from handlers_of(operation)


def who(
    request: Request[Any, Any, Any],
    actor: Annotated[
        str | None,
        HeaderParameter(
            name="Busway-Actor",
            description="A remark, which the audit trail keeps next to the credential.",
        ),
    ] = None,
) -> str:
    """Return who asks for a change, as the audit trail keeps it."""
    said = (actor or "").encode("latin-1", "replace").decode("utf-8", "replace")
    return str(Actor.of(proven_name(request.scope), said))
