"""JSON numbers, decoded without loss of digits."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import msgspec

T = TypeVar("T")
_shortest = msgspec.json.Encoder().encode
MAX_SHORT_LITERAL = 16
"""A literal of up to this length has at most 15 digits: a float holds all of them."""
_SCAN_ABOVE_BYTES = 4_096
_AS_ZEROS = bytes.maketrans(b"123456789.E", b"0000000000e")
_SIGNS = (b"0" * MAX_SHORT_LITERAL, b"0e000", b"0e-000", b"0e+000")


def parse_number(literal: str) -> float | Decimal:
    """Parse a JSON number with a fraction or an exponent.

    Returns a float if it holds all digits, else a :class:`~decimal.Decimal`.

    >>> parse_number("19.90"), parse_number("12345678901234567.89")
    (19.9, Decimal('12345678901234567.89'))
    """
    number = float(literal)
    if len(literal) <= MAX_SHORT_LITERAL and "e" not in literal and "E" not in literal:
        return number
    if _shortest(number) == literal.encode():
        return number
    try:
        exact = Decimal(literal)
        if exact.is_finite():
            return number if Decimal(repr(number)) == exact else exact
    except InvalidOperation:
        pass
    raise ValueError(f"the exponent of the number {literal[:40]} is too large")


def exact_decoder(kind: type[T]) -> Callable[[bytes], T]:
    """Return a decoder of JSON bytes whose untyped numbers keep all digits.

    A large text is scanned first: without long numbers, the faster plain decoder is used.
    """
    exact = msgspec.json.Decoder(kind, float_hook=parse_number).decode
    plain = msgspec.json.Decoder(kind).decode

    def decode(raw: bytes) -> T:
        if len(raw) > _SCAN_ABOVE_BYTES and not _has_long_numbers(raw):
            return plain(raw)
        return exact(raw)

    return decode


def _has_long_numbers(raw: bytes) -> bool:
    """Return whether a number may have 16 digits or an exponent of 3; text may match too."""
    zeros = raw.translate(_AS_ZEROS)
    return any(sign in zeros for sign in _SIGNS)
