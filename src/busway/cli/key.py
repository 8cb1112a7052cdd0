"""``busway keys``: who may send events, or call the API, beside whoever has its token."""

from __future__ import annotations

from typing import Annotated

import typer

from busway.cli.ask import segment
from busway.cli.call import Call, calling
from busway.cli.show import as_json, as_table, echo
from busway.control.access.key import CreatedKey, KeyStatus, NewKey

app = typer.Typer(invoke_without_command=True)

Name = Annotated[str, typer.Argument(help="The key's name.")]
Scopes = Annotated[
    list[str], typer.Option("--scope", help="What it may do: intake or admin; may be repeated.")
]
Called = Annotated[str, typer.Option("--name", help="How it is called in the audit trail.")]
Reason = Annotated[str, typer.Option(help="Why, for the audit trail.")]


@app.callback()
@calling
def list_command(call: Call, context: typer.Context) -> None:
    """List the keys, without their secrets.

    Example: `busway keys --json`
    """
    if context.invoked_subcommand is not None:
        return
    found = call.items("/keys", KeyStatus)
    if call.json:
        as_json({"items": found})
    elif not found:
        echo("No keys.")
    else:
        rows = [
            (
                one.name,
                ", ".join(one.scopes),
                f"{one.created_at:%F %T}",
                one.created_by,
                "-" if one.used_at is None else f"{one.used_at:%F %R}",
            )
            for one in found
        ]
        as_table(("key", "scopes", "created", "by", "last used"), rows)


@app.command("create")
@calling
def create_command(call: Call, scope: Scopes, name: Called = "", reason: Reason = "") -> None:
    """Make a key and show its secret, once; it is kept nowhere.

    Example: `busway keys create --scope intake --name shop`
    """
    answer = call.post("/keys", NewKey(scopes=tuple(scope), name=name, reason=reason))
    if call.json:
        answer.print()
        return
    made = answer.read(CreatedKey)
    echo(f"key {made.key.name} ({', '.join(made.key.scopes)}), shown only now:")
    echo(made.secret)


@app.command("revoke")
@calling
def revoke_command(call: Call, name: Name, reason: Reason = "") -> None:
    """Make a key worthless; every process knows within two seconds.

    Example: `busway keys revoke shop --reason "it was published"`
    """
    answer = call.delete(f"/keys/{segment('key', name)}", reason=reason or None)
    if call.json:
        answer.print()
    else:
        echo(f"key {answer.read(KeyStatus).name} is revoked")
