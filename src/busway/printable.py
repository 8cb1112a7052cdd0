r"""Escaping of untrusted text for display, so that it cannot control a terminal or mislead.

Escapes all characters that Unicode does not call printable: control characters (ESC, C1, line
ends), bidirectional marks, zero-width characters, surrogates.
"""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return a text on one line, with unprintable characters as Python escapes.

    >>> printable("a\x1b[31m\u202eb\n")
    'a\\x1b[31m\\u202eb\\n'
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def printable_lines(text: str) -> str:
    """Return a text of several lines, with all other unprintable characters escaped."""
    return "\n".join(map(printable, text.split("\n")))


def printable_json(text: str) -> str:
    r"""Return JSON text with unprintable characters as JSON escapes, on one or more lines.

    >>> printable_json('["\x7f\u202e\U000e0001"]')
    '["\\u007f\\u202e\\udb40\\udc01"]'
    """
    return "\n".join(
        line if line.isprintable() else "".join(map(_escaped_in_json, line))
        for line in text.split("\n")
    )


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    if "\ud800" <= char <= "\udfff":
        return f"\\u{ord(char):04x}"
    return char.encode("unicode_escape").decode()


def _escaped_in_json(char: str) -> str:
    if char.isprintable():
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{int.from_bytes(units[at : at + 2]):04x}" for at in range(0, len(units), 2))
