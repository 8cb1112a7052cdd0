"""Text templates with event values: ``"{data[customer][name]} ordered {data[total]:.2f}"``.

A restricted form of :meth:`str.format`: a placeholder names an attribute of the event, followed by
keys of its data; it cannot access other attributes of objects.
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
"""Returns an escaped value; the second argument is the text before it."""

TemplateText = str | Callable[[object], str]
"""A template, or a function of the result that returns the text."""

FIELDS = ("id", "type", "source", "subject", "time", "data", "flow")
_PLACEHOLDER = re.compile(r"(\w+)((?:\[[^\[\]]+\])*)")
_KEY = re.compile(r"\[([^\[\]]+)\]")


class TemplateError(Exception):
    """A template cannot be filled with this result."""


class _TemplatePart(msgspec.Struct, frozen=True):
    before: str
    path: tuple[str, ...] = ()
    spec: str = ""


class TextTemplate(msgspec.Struct, frozen=True):
    """A parsed template."""

    parts: Sequence[_TemplatePart]

    @property
    def is_constant(self) -> bool:
        """Whether the template has no placeholders."""
        return not any(part.path for part in self.parts)

    def fill(self, values: Mapping[str, object], escape: Escape | None = None) -> str:
        """Return the text with its placeholders replaced by escaped values.

        Raises :class:`TemplateError` for a missing value or one that cannot be formatted.
        """
        text = ""
        for part in self.parts:
            text += part.before
            if part.path:
                shown = _format_part(part, values)
                text += shown if escape is None else escape(shown, text)
        return text


class TextRenderer(msgspec.Struct, frozen=True):
    """Renders a result as text, by a template or a function."""

    text: TextTemplate | Callable[[object], str]

    def render(self, item: LoadItem, result: object, escape: Escape | None = None) -> str:
        """Return the text for one result of an item. Raises :class:`TemplateError`."""
        if isinstance(self.text, TextTemplate):
            return self.text.fill(_template_values(item, result), escape)
        try:
            text = self.text(result)
        except Exception as error:  # an error of a user's function concerns this event
            raise TemplateError(f"the function raised {type(error).__name__}: {error}") from error
        if not isinstance(text, str):
            raise TemplateError(f"the function returned {type(text).__name__}, not a text")
        return text


def make_renderer(sink: str, option: str, text: object) -> TextRenderer:
    """Return the renderer of a declared text. Raises :class:`SinkError` if it is invalid."""
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
        placeholder = _PLACEHOLDER.fullmatch(field)
        if placeholder is None or placeholder[1] not in FIELDS or conversion or "{" in (spec or ""):
            nearest_field = nearest(re.split(r"\W", field)[0], FIELDS)
            suggestion = (
                f"did you mean {nearest_field!r}? "
                if nearest_field and nearest_field not in field
                else ""
            )
            raise SinkError(
                f"{sink}({option}=…): there is no {{{field}}}; {suggestion}a placeholder is one of"
                f" {', '.join(FIELDS)}, with keys like data[customer][name]"
            )
        parts.append(
            _TemplatePart(before, (placeholder[1], *_KEY.findall(placeholder[2])), spec or "")
        )
    return TextTemplate(tuple(parts))


def _template_values(item: LoadItem, result: object) -> Mapping[str, object]:
    event = result if isinstance(result, Event) else item.event
    try:
        data = result.data if isinstance(result, Event) else result
        envelope = event.envelope
    except EventError as error:
        raise TemplateError(str(error)) from error
    attributes = {name: getattr(envelope, name) for name in FIELDS[:5]}
    return attributes | {"data": data, "flow": item.flow}


def _format_part(part: _TemplatePart, values: Mapping[str, object]) -> str:
    value: object = values
    for index, key in enumerate(part.path):
        value = _member(value, key, part.path[: index + 1])
    try:
        return format(value, part.spec) if part.spec else _default_format(value)
    except (TypeError, ValueError) as error:
        raise TemplateError(f"{_name(part.path)} cannot be formatted: {error}") from error


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
