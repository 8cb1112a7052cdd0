"""Add records to the audit trail, inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from busway.audit_record import AuditRecord
from busway.engine.sqlite.database import sql
from busway.engine.sqlite.row_codec import ROW_CODEC


def add_audit(connection: apsw.Connection, audit: Sequence[AuditRecord]) -> None:
    """Add records to the audit trail."""
    for record in audit:
        connection.execute(sql("ledger/add_audit"), ROW_CODEC.encode_audit(record))
