"""The ``renamed_from`` option: the previous name of a flow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from busway.flow.declaration import FlowDeclaration


def rename_mistakes(
    declarations: Sequence[FlowDeclaration],
) -> Iterator[tuple[FlowDeclaration, str]]:
    """Yield the mistakes in the renames of all flows."""
    declared = {
        declaration.name: declaration
        for declaration in declarations
        if isinstance(declaration.name, str)
    }
    by_old_name: dict[object, FlowDeclaration] = {}
    for declaration in declarations:
        old = declaration.options.get("renamed_from")
        if old is None:
            continue
        if not isinstance(old, str) or not old:
            yield declaration, f"invalid renamed_from {old!r}: use the previous name of the flow"
        elif old == declaration.name:
            yield declaration, f"invalid renamed_from {old!r}: it is the flow's own name; remove it"
        elif old in declared:
            line = declared[old].line
            yield (
                declaration,
                f"invalid renamed_from {old!r}: a flow of this name is declared at line {line}",
            )
        elif by_old_name.setdefault(old, declaration) is not declaration:
            line = by_old_name[old].line
            yield (
                declaration,
                f"the flow at line {line} is renamed from {old!r} too; only one of them can be",
            )
