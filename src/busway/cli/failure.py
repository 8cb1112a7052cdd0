"""How a call of the API can fail."""

from __future__ import annotations

from busway.errors import BuswayError


class Unreachable(BuswayError):
    """There is no server at the address."""


class Refused(BuswayError):
    """The API refused a request; ``status`` is the HTTP status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
