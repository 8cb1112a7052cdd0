"""A worker's hold on a lane: by which lease, and whether that is certain now."""

from __future__ import annotations

from collections.abc import Callable


def _always_trusted() -> bool:
    return True


class Lease:
    """The lease of a lane; one that works alone has every lane for good, under epoch 0.

    ``is_trusted`` says whether the worker itself is known to the others as alive.
    """

    def __init__(
        self, fencing_token: int = 0, is_trusted: Callable[[], bool] = _always_trusted
    ) -> None:
        self.fencing_token = fencing_token
        self.is_lost = False
        self._is_trusted = is_trusted

    @property
    def is_held(self) -> bool:
        """Whether nobody else can have the lane by now."""
        return not self.is_lost and self._is_trusted()

    def mark_lost(self) -> None:
        """Note that somebody else has it."""
        self.is_lost = True
