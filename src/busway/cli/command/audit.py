"""``busway audit`` for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from busway.cli.call import Call
from busway.cli.operation_command import result_view
from busway.cli.output import print_table
from busway.control.audit import AuditEntry
from busway.control.operation.audit import list_audit

_WIDTH = 80


@result_view(list_audit, empty="Nothing was changed.")
def print_audit(call: Call, entries: Sequence[AuditEntry]) -> None:
    """Print who changed what; before and after are cut, `--json` has all of them."""
    rows = [
        (
            f"{entry.at:%F %T}",
            entry.actor,
            entry.remark,
            entry.action,
            entry.target,
            _short(entry.before),
            _short(entry.after),
            entry.reason,
        )
        for entry in entries
    ]
    print_table(("when", "who", "remark", "action", "target", "before", "after", "reason"), rows)


def _short(image: Any) -> str:
    text = "-" if image is None else msgspec.json.encode(image).decode()
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
