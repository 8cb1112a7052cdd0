"""``/flows/…``: give a flow another name, or remove it."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, delete, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from busway.api.openapi import example
from busway.control.context import ControlContext
from busway.control.flow.lifecycle import (
    FlowRenaming,
    RemovedFlow,
    RenamedFlow,
    remove,
    rename,
)

_RENAMING = FlowRenaming("orders", "there are small ones now")


@post(
    "/{name:str}/rename",
    summary="Rename a flow",
    status_code=200,
    opt=example(RenamedFlow("big_orders", "orders"), _RENAMING),
)
async def rename_flow(
    control: NamedDependency[ControlContext],
    name: FromPath[str],
    data: JSONBody[FlowRenaming],
    who: NamedDependency[str],
) -> RenamedFlow:
    """Give a flow that is not running another name, with its position, counts and dead letters.

    A running one is renamed in the flows file: `renamed_from`.
    """
    await rename(control, name, data.to, who, data.reason)
    return RenamedFlow(name, data.to)


@delete(
    "/{name:str}",
    summary="Remove a flow",
    status_code=200,
    opt=example(RemovedFlow("big_orders", backlog=12, parked=0, dead=3)),
)
async def remove_flow(
    control: NamedDependency[ControlContext],
    name: FromPath[str],
    who: NamedDependency[str],
    discard: Annotated[
        bool, QueryParameter(description="Also with a backlog, parked events or dead letters.")
    ] = False,
    reason: Annotated[str, QueryParameter(description="Kept in the trail.")] = "",
) -> RemovedFlow:
    """Forget a flow that is not running, and return what it had that was given up with it."""
    return await remove(control, name, who, discard=discard, reason=reason)


router = Router("/flows", route_handlers=[rename_flow, remove_flow], tags=["flows"])
