"""A worker's hold on a lane: by which lease, and whether that is certain now."""

from __future__ import annotations

from collections.abc import Callable


def _always() -> bool:
    return True


class Tenure:
    """The lease of a lane; one that works alone has every lane for good, under epoch 0.

    ``sure`` says whether the worker itself is known to the others as alive.
    """

    def __init__(self, epoch: int = 0, sure: Callable[[], bool] = _always) -> None:
        self.epoch = epoch
        self.lost = False
        self._sure = sure

    @property
    def held(self) -> bool:
        """Whether nobody else can have the lane by now."""
        return not self.lost and self._sure()

    def lose(self) -> None:
        """Note that somebody else has it."""
        self.lost = True
