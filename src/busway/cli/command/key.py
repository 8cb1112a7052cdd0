"""``busway keys`` for people."""

from __future__ import annotations

from busway.cli.call import Call
from busway.cli.operation_command import result_view
from busway.cli.output import echo
from busway.control.access.key import CreatedKey, KeyStatus
from busway.control.operation.key import create_key, revoke_key


@result_view(create_key)
def show_secret(call: Call, created: CreatedKey) -> None:
    echo(f"key {created.key.name} ({', '.join(created.key.scopes)}), shown only now:")
    echo(created.secret)


@result_view(revoke_key)
def show_revoked(call: Call, key: KeyStatus) -> None:
    echo(f"key {key.name} is revoked")
