"""``busway audit``: who changed what."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from busway.cli.call import Call, calling
from busway.cli.show import as_json, as_table, echo
from busway.control.audit import AuditEntry

_WIDTH = 80

Target = Annotated[
    str, typer.Argument(help="Of this and all below it: dead/orders, job, flow/orders.")
]
Who = Annotated[
    str | None, typer.Option("--who", help="By this credential: api-token, a key's name.")
]
Action = Annotated[str | None, typer.Option("--action", help="Of this kind: dead, dead redrive.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]


@calling
def audit(
    call: Call, target: Target = "", who: Who = None, action: Action = None, limit: Limit = 100
) -> None:
    """Show who changed what, the latest first; --json has all of before and after.

    Example: `busway audit dead/orders --who api-token`
    """
    found = call.items("/audit", AuditEntry, limit, target=target, who=who, action=action)
    if call.json:
        as_json({"items": found})
        return
    if not found:
        echo("Nothing was changed.")
        return
    rows = [
        (
            f"{one.at:%F %T}",
            one.actor,
            one.remark,
            one.action,
            one.target,
            _short(one.before),
            _short(one.after),
            one.reason,
        )
        for one in found
    ]
    as_table(("when", "who", "remark", "action", "target", "before", "after", "reason"), rows)


def _short(image: Any) -> str:
    text = "-" if image is None else msgspec.json.encode(image).decode()
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
