"""Texts with places for what an event says: ``"{data[customer][name]} ordered {data[total]:.2f}"``.

It looks like :meth:`str.format`, and can do less: a place names an attribute of the event and then
keys of its data, nothing else of any object.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from string import Formatter

import msgspec

from busway.errors import EventError, SinkError
from busway.event import Event
from busway.json_text import encode_json
from busway.ports import LoadItem
from busway.spelling import nearest

Escape = Callable[[str, str], str]
"""Returns what is filled in as it may stand in the text; the second is the text before it."""

TemplateText = str | Callable[[object], str]
"""A template, or a function of the result that returns the text."""

FIELDS = ("id", "type", "source", "subject", "time", "data", "flow")
_PLACEHOLDER = re.compile(r"(\w+)((?:\[[^\[\]]+\])*)")
_KEY = re.compile(r"\[([^\[\]]+)\]")


class TemplateError(Exception):
    """A text cannot be made of this result; it says why."""


class _TemplatePart(msgspec.Struct, frozen=True):
    before: str
    path: tuple[str, ...] = ()
    spec: str = ""


class TextTemplate(msgspec.Struct, frozen=True):
    """A text, taken apart."""

    parts: Sequence[_TemplatePart]

    @property
    def is_constant(self) -> bool:
        """Whether it has no places, and is the same for every event."""
        return not any(part.path for part in self.parts)

    def fill(self, values: Mapping[str, object], escape: Escape | None = None) -> str:
        """Return the text with its places filled in, what is filled in being escaped.

        Raises
        :class:`TemplateError` where the event lacks a value, or has one that cannot be formatted.
        """
        text = ""
        for part in self.parts:
            text += part.before
            if part.path:
                shown = _format_part(part, values)
                text += shown if escape is None else escape(shown, text)
        return text


class TextRenderer(msgspec.Struct, frozen=True):
    """What makes a text of a result: a template or a function."""

    text: TextTemplate | Callable[[object], str]

    def render(self, item: LoadItem, result: object, escape: Escape | None = None) -> str:
        """Return the text for one result of an item. Raises :class:`TemplateError`."""
        if isinstance(self.text, TextTemplate):
            return self.text.fill(_template_values(item, result), escape)
        try:
            found = self.text(result)
        except Exception as error:  # what a user's function raises is about this event
            raise TemplateError(f"the function raised {type(error).__name__}: {error}") from error
        if not isinstance(found, str):
            raise TemplateError(f"the function returned {type(found).__name__}, not a text")
        return found


def make_renderer(sink: str, option: str, text: object) -> TextRenderer:
    """Return what makes texts as declared. Raises :class:`SinkError` for a wrong template."""
    if isinstance(text, str):
        return TextRenderer(_parse_template(sink, option, text))
    if callable(text):
        return TextRenderer(text)
    raise SinkError(f"{sink}({option}={text!r}): give a text, or a function that returns one")


def _parse_template(sink: str, option: str, text: str) -> TextTemplate:
    try:
        pieces = list(Formatter().parse(text))
    except ValueError as error:
        raise SinkError(f"{sink}({option}=…): {error}; write {{{{ for a brace") from error
    parts = []
    for before, field, spec, conversion in pieces:
        if field is None:
            parts.append(_TemplatePart(before))
            continue
        found = _PLACEHOLDER.fullmatch(field)
        if found is None or found[1] not in FIELDS or conversion or "{" in (spec or ""):
            near = nearest(re.split(r"\W", field)[0], FIELDS)
            likely = f"did you mean {near!r}? " if near and near not in field else ""
            raise SinkError(
                f"{sink}({option}=…): there is no {{{field}}}; {likely}a place is one of"
                f" {', '.join(FIELDS)}, with keys like data[customer][name]"
            )
        parts.append(_TemplatePart(before, (found[1], *_KEY.findall(found[2])), spec or ""))
    return TextTemplate(tuple(parts))


def _template_values(item: LoadItem, result: object) -> Mapping[str, object]:
    event = result if isinstance(result, Event) else item.event
    try:
        data = result.data if isinstance(result, Event) else result
        seen = event.envelope
    except EventError as error:
        raise TemplateError(str(error)) from error
    attributes = {name: getattr(seen, name) for name in FIELDS[:5]}
    return attributes | {"data": data, "flow": item.flow}


def _format_part(part: _TemplatePart, values: Mapping[str, object]) -> str:
    found: object = values
    for number, key in enumerate(part.path):
        found = _member(found, key, part.path[: number + 1])
    try:
        return format(found, part.spec) if part.spec else _default_format(found)
    except (TypeError, ValueError) as error:
        raise TemplateError(f"{_name(part.path)} cannot be shown: {error}") from error


def _member(value: object, key: str, path: Sequence[str]) -> object:
    if isinstance(value, Mapping) and key in value:
        return value[key]
    if isinstance(value, list | tuple) and key.isdecimal() and int(key) < len(value):
        return value[int(key)]
    raise TemplateError(f"the event has no {_name(path)}")


def _name(path: Sequence[str]) -> str:
    return path[0] + "".join(f"[{key}]" for key in path[1:])


def _default_format(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, datetime) else encode_json(value).decode()
