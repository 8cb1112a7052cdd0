"""Patterns with ``*``, matched in one pass without backtracking."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glob:
    """The literal pieces around the wildcards: ``a*b`` is ``("a", "b")``, ``*`` is ``("", "")``."""

    pieces: tuple[str, ...]

    def matches(self, text: str) -> bool:
        """Return whether the whole ``text`` matches."""
        first, last = self.pieces[0], self.pieces[-1]
        if len(self.pieces) == 1:
            return text == first
        if len(text) < len(first) + len(last):
            return False
        return text.startswith(first) and text.endswith(last) and self._middle(text)

    def _middle(self, text: str) -> bool:
        at, end = len(self.pieces[0]), len(text) - len(self.pieces[-1])
        for piece in self.pieces[1:-1]:
            at = text.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    def partial_matches(self) -> int:
        """Return how many prefixes of the pattern a text can match at once, in the worst case.

        This is the number of states that a state machine for the pattern has to track. The texts
        tested are the pattern's own prefixes, with empty wildcards.
        """
        tokens = _tokens(self.pieces)
        waiting, worst = _skip_stars(tokens, {0}), 1
        for token in tokens:
            if token is not None:
                moved = {at + 1 for at in waiting if tokens[at : at + 1] == [token]}
                waiting = _skip_stars(tokens, moved) | {
                    at for at in waiting if _follows_star(tokens, at)
                }
                worst = max(worst, len(waiting | moved))
        return worst


def parse_glob(text: str) -> Glob:
    r"""Parse a wildcard pattern; ``\*`` and ``\\`` are a star and a backslash.

    Raises ``ValueError`` for two consecutive wildcards and for any other escape.

    >>> parse_glob(r"a*b\*")
    Glob(pieces=('a', 'b*'))
    """
    pieces = [""]
    at = 0
    while at < len(text):
        char = text[at]
        if char == "*":
            _reject_double_star(text, at)
            pieces.append("")
        elif char == "\\":
            at += 1
            pieces[-1] += _unescape(text, at)
        else:
            pieces[-1] += char
        at += 1
    return Glob(tuple(pieces))


def _reject_double_star(text: str, at: int) -> None:
    if text[at : at + 2] == "**":
        raise ValueError(f"two consecutive wildcards at character {at}; use one *")


def _unescape(text: str, at: int) -> str:
    char = text[at : at + 1]
    if char not in ("*", "\\"):
        raise ValueError(
            rf"invalid escape at character {at - 1}; "
            r"use \* or \\ (in JSON text: \\* or \\\\)"
        )
    return char


def _tokens(pieces: tuple[str, ...]) -> list[str | None]:
    tokens: list[str | None] = []
    for number, piece in enumerate(pieces):
        if number:
            tokens.append(None)
        tokens.extend(piece)
    return tokens


def _skip_stars(tokens: list[str | None], places: set[int]) -> set[int]:
    return {at + 1 if tokens[at : at + 1] == [None] else at for at in places}


def _follows_star(tokens: list[str | None], at: int) -> bool:
    return at > 0 and tokens[at - 1] is None
