"""Errors of a call of the API."""

from __future__ import annotations

from busway.errors import BuswayError


class ServerUnreachable(BuswayError):
    """No server answers at the address."""


class ProblemError(BuswayError):
    """The API answered with an error; ``status`` is the HTTP status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
