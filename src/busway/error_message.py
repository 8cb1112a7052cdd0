"""What an error text says: the short texts in the JSON, the XML or the HTML that an API answers.

Pure, and tolerant: a body may be cut off, may be the ``repr`` of a dict, and may stand in a longer
text. What an API echoes (the order that it refused) is not looked at: texts are taken of the known
names only, at the top, in lists, and in what is about errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

_MAX_DEPTH = 12
_MAX_MESSAGES = 8
_MAX_MESSAGE_LENGTH = 200
_MAX_CODE_LENGTH = 60
MAX_CHARACTERS = 16_384
"""How many characters of a text are looked at."""

_MESSAGE_NAMES = frozenset(
    "error errors errormessage errormessages errordescription errorsummary errortitle message"
    " messages msg title detail details reason description developermessage usermessage"
    " longmessage shortmessage faultstring statustext summary issue cause hint".split()
)
"""Names of texts, without case, ``_``, ``-`` and a namespace."""
_CODE_NAMES = frozenset(
    "code errorcode errorcodes subcode errorsubcode declinecode type errortype exceptiontype"
    " exception status category faultcode errno sqlstate internalcode statuscode".split()
)
"""Names of codes: short names or numbers that say which error it is."""
_FIELD_NAMES = frozenset("field fields param params parameter".split())
"""Names of what says which field is wrong, next to a text of it."""
_LOCATION_NAMES = _FIELD_NAMES | frozenset("pointer path loc location source target".split())
"""The same, inside of what is about errors."""
_ABOUT_ERRORS = re.compile(r"err|fault|detail|extension|issue|cause|message|violation|invalid")
"""Names of parts that are about errors."""
_FIELD_ERRORS = frozenset(
    "errors fielderrors validationerrors formerrors invalidparams details messages".split()
)
"""Names of parts whose own names may be those of the fields that are wrong."""

_START = re.compile(r"[{\[](?=\s*(?:[{\[]\s*){0,3}[bu]?[\"'])")
_MAX_STARTS = 3
_TOKEN = re.compile(
    r"\s*(?:(?P<open>[\[{(])|(?P<close>[\]})])|(?P<mark>[,:=;])"
    r"|[bBuU]?(?P<text>\"(?:\\.|[^\"\\])*(?:\"|\\?\Z)|'(?:\\.|[^'\\])*(?:'|\\?\Z))"
    r"|(?P<word>[^\s,:=;\[\]{}()\"']+))",
    re.DOTALL,
)
_ELEMENT = re.compile(
    r"<(?:[\w.-]+:)?(?P<name>[\w.-]+)(?:\s[^<>]*)?>"
    r"(?P<text>(?:<!\[CDATA\[(?:.(?!\]\]>))*.?\]\]>|[^<])*)(?:<|\Z)",
    re.DOTALL,
)
_MARKUP = re.compile(r"\A\s*<[!?/\w]|</[\w:.-]+>")
_ELEMENT_NAMES = _MESSAGE_NAMES | _CODE_NAMES | {"h1", "h2", "text", "string"}
_DROPPED = re.compile(r"<(style|script)\b.*?(?:</\1>|\Z)|<!--.*?(?:-->|\Z)", re.DOTALL | re.I)
_TAG = re.compile(r"</?[\w:.-]+(?:\s[^<>]*)?/?>|<[!?][^<>]*>|<[/\w][^<>]*\Z")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": " ", "f": " "}
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&#39;": "'", "&amp;": "&"}
_CODE = re.compile(r"[A-Za-z][\w.:/-]*|\d{1,6}")
_NAMED_CODE = re.compile(r"code=[\w.:/-]+")

ParsedValue = str | list["ParsedValue"] | dict[str, "ParsedValue"]
"""What is read: numbers and literals are the text that stood there."""


def error_messages(text: str) -> list[str]:
    """Return the short texts of the first part of a text that is JSON, XML or HTML.

    >>> error_messages(
    ...     '{"error": {"code": "card_declined", "message": "no funds"}, "order": {"title": "x"}}'
    ... )
    ['card_declined', 'no funds']
    >>> error_messages("<Error><Code>NoSuchKey</Code><Message>No such key.</Message></Error>")
    ['NoSuchKey', 'No such key.']
    >>> error_messages("no structure")
    []
    """
    return _structured_part(text)[1]


def summarize_error(text: str) -> str:
    """Return a text with what it says in the place of its part that is JSON, XML or HTML.

    A code with a digit is written ``code=21211``. Without a known text it stays as it is.

    >>> summarize_error('api answered 400: {"code": 21211, "message": "not a number", "id": "r-1"}')
    'api answered 400: code=21211; not a number'
    """
    place, found = _structured_part(text)
    if not found:
        return text
    return f"{text[: place[0]]}{'; '.join(found)}{text[place[1] :]}"


def is_code(text: str) -> bool:
    """Say whether a word is a code as :func:`summarize_error` writes it."""
    return _NAMED_CODE.fullmatch(text) is not None


def _structured_part(text: str) -> tuple[tuple[int, int], list[str]]:
    text = text[:MAX_CHARACTERS]
    if _MARKUP.search(text):
        at = text.index("<")
        return (at, len(text)), _unique_lines(_of_markup(text[at:]))
    for begun in islice(_START.finditer(text), _MAX_STARTS):
        value, end = _Reader(text, begun.start()).value(0)
        if text[: begun.start()].strip() and not _is_of_errors(value):
            continue
        found = _unique_lines(_of_value("", value, 0)) or _unique_lines(_of_forms(value))
        if found:
            return (begun.start(), end), found
    return (0, 0), []


def _is_of_errors(value: ParsedValue) -> bool:
    """Say whether what stands in a longer text is an answer about errors, and not any data."""
    if isinstance(value, list):
        return any(_is_of_errors(one) for one in value if not isinstance(one, str))
    known = {_normalized(name) for name in value} if isinstance(value, dict) else set()
    both = bool(known & {"code", "status"}) and bool(known & {"message", "msg", "detail"})
    return both or any("error" in name or "fault" in name for name in known)


class _Reader:
    """Reads a value of JSON, or of Python's repr; at the end of the text all that is open ends."""

    def __init__(self, text: str, at: int) -> None:
        self._text = text
        self._at = at

    def value(self, depth: int) -> tuple[ParsedValue, int]:
        """Return the value that begins here, and where it ends."""
        found = self._next()
        if found is None or found["close"] or found["mark"]:
            return "", self._at
        self._at = found.end()
        if found["open"]:
            return self._parts(found["open"], depth + 1), self._at
        text = found["text"]
        if text is not None:
            return _unescaped(text), self._at
        return self._word(found["word"], depth), self._at

    def _next(self) -> re.Match[str] | None:
        return _TOKEN.match(self._text, self._at)

    def _word(self, word: str, depth: int) -> str:
        """Return a number, a literal, or a call in a repr, without what is in its brackets."""
        after = self._next()
        if after is not None and after["open"] == "(":
            self._at = after.end()
            self._parts("(", depth + 1)
        return word

    def _parts(self, opened: str, depth: int) -> ParsedValue:
        named: dict[str, ParsedValue] = {}
        listed: list[ParsedValue] = []
        name: str | None = None
        while (found := self._next()) is not None:
            if found["close"]:
                self._at = found.end()
                break
            if found["mark"]:
                self._at = found.end()
                if found["mark"] in ":=" and listed and opened == "{":
                    last = listed.pop()
                    name = last if isinstance(last, str) else ""
                continue
            value = self.value(depth)[0] if depth < _MAX_DEPTH else self._skipped()
            if name is None:
                listed.append(value)
            else:
                named[name], name = value, None
        return named or listed

    def _skipped(self) -> str:
        """Pass over one token, however deep it is."""
        found = self._next()
        self._at = len(self._text) if found is None else found.end()
        return ""


def _unescaped(text: str) -> str:
    quote, end = text[0], len(text)
    if end > 1 and text[-1] == quote:
        end -= 1
    return _ESCAPE.sub(_plain, text[1:end])


def _plain(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    if code:
        return chr(int(code, 16)) if not 0xD800 <= int(code, 16) < 0xE000 else "?"
    return _ESCAPED.get(found[3], found[3])


def _of_value(name: str, value: ParsedValue, depth: int) -> Iterator[str]:
    """Yield the texts of what is called ``name``, codes first."""
    if isinstance(value, str):
        yield from _of_text(name, value)
    elif isinstance(value, list):
        for one in value:
            inner = isinstance(one, dict) and name in _FIELD_ERRORS
            yield from _of_value("error" if inner else name, one, depth)
    else:
        yield from _of_names(name, value, depth)


def _of_names(name: str, value: dict[str, ParsedValue], depth: int) -> Iterator[str]:
    known = {one: _normalized(one) for one in value}
    said = any(
        kind in _MESSAGE_NAMES | _CODE_NAMES
        for one, kind in known.items()
        if isinstance(value[one], str)
    )
    if name in _FIELD_ERRORS and not said:
        for one, part in value.items():
            yield from _of_field(one, part)
        return
    yield from _of_known(value, known, _CODE_NAMES, depth)
    yield from _of_known(value, known, _MESSAGE_NAMES, depth)
    inside = bool(depth and _ABOUT_ERRORS.search(name))
    yield from _of_places(value, known, _LOCATION_NAMES if inside else _FIELD_NAMES)
    for one, part in value.items():
        if isinstance(part, str) or known[one] in _MESSAGE_NAMES | _CODE_NAMES | _LOCATION_NAMES:
            continue
        if name in _FIELD_ERRORS:
            yield from _of_field(one, part)
        elif _ABOUT_ERRORS.search(known[one]):
            yield from _of_value(known[one], part, depth + 1)
        elif not inside and depth < 3:
            yield from _of_errors_inside(part, depth + 1)


def _of_known(
    value: dict[str, ParsedValue], known: dict[str, str], names: frozenset[str], depth: int
) -> Iterator[str]:
    for one, part in value.items():
        if known[one] in names:
            yield from _of_value(known[one], part, depth + 1)


def _of_places(
    value: dict[str, ParsedValue], known: dict[str, str], names: frozenset[str]
) -> Iterator[str]:
    """Yield which fields are wrong, as a path."""
    for one, part in value.items():
        if known[one] in names:
            parts = part.values() if isinstance(part, dict) else part
            listed = [part] if isinstance(part, str) else [p for p in parts if isinstance(p, str)]
            yield from filter(None, [".".join(listed)[:_MAX_CODE_LENGTH]])


def _of_field(name: str, part: ParsedValue) -> Iterator[str]:
    """Yield what is wrong with a field, behind its name."""
    texts = [part] if isinstance(part, str) else part
    if isinstance(texts, dict):
        found = list(_of_names("", texts, 1))
    else:
        found = []
        for text in texts:
            found += [text] if isinstance(text, str) else _of_value("", text, 1)
    yield from (f"{name[:_MAX_CODE_LENGTH]}: {one}" for one in found if one)


def _of_errors_inside(part: ParsedValue, depth: int) -> Iterator[str]:
    """Yield the errors inside of what is not known to be about errors."""
    if isinstance(part, dict):
        for one, inner in part.items():
            kind = _normalized(one)
            if "error" in kind or "fault" in kind:
                yield from _of_value(kind, inner, depth)
            elif isinstance(inner, dict) and depth < 3:
                yield from _of_errors_inside(inner, depth + 1)


def _of_forms(value: ParsedValue) -> Iterator[str]:
    """Yield the sentences of ``{"email": ["Enter a valid address."]}``."""
    if isinstance(value, dict):
        for name, part in value.items():
            if isinstance(part, list):
                sentences = [one for one in part if isinstance(one, str) and " " in one.strip()]
                yield from (f"{name[:_MAX_CODE_LENGTH]}: {sentence}" for sentence in sentences)


def _of_text(name: str, text: str) -> Iterator[str]:
    if text in ("", "null", "None", "true", "false", "True", "False"):
        return
    if name not in _CODE_NAMES:
        yield summarize_error(text)
        return
    if "://" in text:  # the type of a problem (RFC 9457): its last part names it
        text = (
            text.split("#", maxsplit=1)[0].split("?", maxsplit=1)[0].rstrip("/").rpartition("/")[2]
        )
    text = text.rpartition("#")[2]
    if (name == "status" and text.isdigit()) or text == "about:blank":
        return
    if _CODE.fullmatch(text) and len(text) <= _MAX_CODE_LENGTH:
        yield _as_code(text)


def _as_code(text: str) -> str:
    """Return a code, marked as one where its digits would be taken for a value."""
    digits = sum(char.isdigit() for char in text)
    if not digits:
        return text
    return f"code={text}" if digits <= 6 else ""


def _of_markup(text: str) -> Iterator[str]:
    text = _DROPPED.sub(" ", text)
    found = list(_of_elements(text))
    yield from found or [_TAG.sub(" ", text)]


def _of_elements(text: str) -> Iterator[str]:
    at = 0
    while (found := _ELEMENT.search(text, at)) is not None:
        at = found.end("text")
        name = _normalized(found["name"])
        inner = found["text"].removeprefix("<![CDATA[").removesuffix("]]>").strip()
        if inner and name in _ELEMENT_NAMES:
            for entity, char in _ENTITIES.items():
                inner = inner.replace(entity, char)
            yield from _of_text(
                name if name not in _MESSAGE_NAMES else "", inner.rpartition("\0")[2]
            )


def _unique_lines(texts: Iterator[str]) -> list[str]:
    """Return some of the texts, each once, on one line and not too long."""
    found: dict[str, None] = {}
    for text in texts:
        line = " ".join(text.split())
        if line:
            found.setdefault(
                line if len(line) <= _MAX_MESSAGE_LENGTH else line[: _MAX_MESSAGE_LENGTH - 1] + "…"
            )
        if len(found) == _MAX_MESSAGES:
            break
    return list(found)


def _normalized(name: str) -> str:
    """Return a name without its case, its marks and its namespace."""
    return name.rpartition(":")[2].replace("_", "").replace("-", "").replace(".", "").lower()
