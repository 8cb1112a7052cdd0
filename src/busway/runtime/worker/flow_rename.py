"""Before a program's lanes are opened: which flows it renames, and which it does not have."""

from __future__ import annotations

import structlog

from busway.control.flow.lifecycle import reconcile_program
from busway.control.flow.status import FlowStatus, flow_statuses
from busway.flow import CompiledApp
from busway.ports import Log
from busway.runtime.context import Context

_log = structlog.get_logger("busway")


async def reconcile_flow_names(context: Context, log: Log, program: CompiledApp) -> CompiledApp:
    """Return the program with the names by which sinks know its flows; say what is unusual."""
    census = await reconcile_program(context.ledger, program, context.clock)
    for old, new in census.renamed:
        _log.info("flow renamed", flow=new, before=old)
    for old, new in census.refused:
        _log.warning("flow not renamed: both have a history", flow=new, renamed_from=old)
    for old, new in census.outdated:
        _log.warning("a flow was renamed since; left alone by this flows file", flow=old, now=new)
    if census.undeclared:
        for status in await flow_statuses(log, context.ledger):
            if status.name in census.undeclared:
                _warn_undeclared(status)
    return census.program


def _warn_undeclared(status: FlowStatus) -> None:
    _log.warning(
        "a flow is not declared any more; declare it, rename it, or remove it",
        flow=status.name,
        backlog=status.backlog,
        parked=status.parked,
        dead=status.dead,
    )
