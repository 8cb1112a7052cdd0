"""Add records to the audit trail, inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from busway.audit_record import AuditRecord
from busway.engine.postgres.database import Connection, execute_many
from busway.engine.postgres.row_codec import ROW_CODEC


async def add_audit(connection: Connection, audit: Sequence[AuditRecord]) -> None:
    """Add records to the audit trail."""
    if audit:
        rows = [ROW_CODEC.encode_audit(record) for record in audit]
        await execute_many(connection, "ledger/add_audit", rows)
