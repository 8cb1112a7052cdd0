"""What installed distributions add to Busway: the entry points of a group, by name.

Busway's own sources, sinks and engines are entry points of its own distribution.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from busway.errors import ExtensionError
from busway.missing_package import missing_module
from busway.spelling import suggestion


class EntryPointGroup:
    """The entry points of one group; ``kind`` says what each of them is, for errors."""

    def __init__(self, group: str, kind: str) -> None:
        self.group = group
        self._kind = kind

    def names(self) -> list[str]:
        """Return the names that there are; nothing is imported."""
        return sorted({point.name for point in entry_points(group=self.group)})

    def load(self, name: str) -> Any:
        """Import what a name stands for and return it.

        Raises :class:`ExtensionError` for an unknown name, one that several distributions have,
        and one that cannot be imported.
        """
        points = [*entry_points(group=self.group, name=name)]
        if not points:
            raise ExtensionError(
                f"there is no {self._kind} {name!r}; {suggestion(name, self.names())}"
            )
        if len(points) > 1:
            distributions = " and ".join(map(_distribution, points))
            raise ExtensionError(
                f"there are {len(points)} {self._kind}s {name!r}: of {distributions};"
                " uninstall all of these distributions but one"
            )
        return self._import(points[0])

    def attribute(self, module: str, namespace: dict[str, Any], name: str) -> Any:
        """Return what a module's ``__getattr__`` returns; kept in the module's namespace.

        An unknown name raises :class:`ExtensionError`, which is an ``ImportError``: of an
        ``AttributeError``, ``from … import …`` would not show the text.
        """
        if name.startswith("_"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value = namespace[name] = self.load(name)
        return value

    def _import(self, point: EntryPoint) -> Any:
        try:
            return point.load()
        except Exception as error:
            where = f"{self._kind} {point.name!r} of {_distribution(point)} ({point.value})"
            raise ExtensionError(f"the {where} cannot be imported: {_reason(error)}") from error


def _distribution(point: EntryPoint) -> str:
    return (
        "an unknown distribution"
        if point.dist is None
        else f"{point.dist.name} {point.dist.version}"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return missing_module(error.name)
    return f"{type(error).__name__}: {error}"
