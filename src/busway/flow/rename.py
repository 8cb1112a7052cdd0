"""The ``renamed_from`` option: what a flow was called before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from busway.flow.declaration import FlowDeclaration


def rename_mistakes(
    declarations: Sequence[FlowDeclaration],
) -> Iterator[tuple[FlowDeclaration, str]]:
    """Yield what is wrong with the renamings of all flows together."""
    declared = {
        declaration.name: declaration
        for declaration in declarations
        if isinstance(declaration.name, str)
    }
    taken: dict[object, FlowDeclaration] = {}
    for declaration in declarations:
        old = declaration.options.get("renamed_from")
        if old is None:
            continue
        if not isinstance(old, str) or not old:
            yield declaration, f"renamed_from is {old!r}; give the name that the flow had before"
        elif old == declaration.name:
            yield declaration, "renamed_from is its own name; leave it out"
        elif old in declared:
            line = declared[old].line
            yield declaration, f"renamed_from is {old!r}, which is still declared at line {line}"
        elif taken.setdefault(old, declaration) is not declaration:
            what = f"the flow at line {taken[old].line} is renamed from {old!r} too"
            yield declaration, f"{what}; only one can go on where it was"
