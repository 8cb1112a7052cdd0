"""Redaction of secrets in texts from libraries, destinations and the user's code. Pure.

:func:`redacted` masks everything that looks like a secret: user and password of a URL, values of
its query, random-looking parts of its path, the whole path of well-known webhooks, and values of
names like ``token``. :class:`Redactor` also masks known secrets anywhere, even percent-encoded,
quoted, or truncated at the end of a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
_MIN_SECRET_LENGTH = 4
"""Shorter texts are not redacted: they would match parts of ordinary words."""
_MIN_TAIL = 6
"""The minimum length of a truncated secret at the end of a text."""
_MAX_TAIL = 200

_URL = re.compile(
    r"\b(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{1,30})://"
    r"(?P<authority>[^\s\"'<>\\/?#(){}\[\]|,]*(?:\[[0-9A-Fa-f:.]+\](?::\d+)?)?)"
    r"(?P<rest>(?:(?!,?[A-Za-z][A-Za-z0-9+.-]*://)[^\s\"'<>\\(){}\[\]|])*)"
)
_DATABASE_SCHEMES = frozenset(
    ("postgresql", "postgres", "mysql", "mariadb", "sqlite", "nats", "tls", "redis", "rediss")
)
"""Schemes whose path names a database or a stream, which messages need to show."""
_WEBHOOK_HOSTS = re.compile(
    r"(?:^|\.)(?:hooks\.slack\.com|hooks\.zapier\.com|webhook\.site|chat\.googleapis\.com"
    r"|api\.telegram\.org|(?:webhook\.)?office\.com|logic\.azure\.com|maker\.ifttt\.com"
    r"|hook\.[\w.]*make\.com|hooks\.[\w.-]+)(?::\d+)?$|discord(?:app)?\.com(?::\d+)?$",
    re.IGNORECASE,
)
_NAME_PATTERN = (
    r"[\w.-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|signature|credentials?|authorization|cookie)[\w-]*|pwd|pass|sig|auth|jwt"
)
SECRET_NAME = re.compile(_NAME_PATTERN, re.IGNORECASE)
_VALUE = r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s\"'&,;<>(){}\[\]|]+)"
_ASSIGNED = re.compile(rf"(?<![\w.-])(?P<name>{_NAME_PATTERN})=(?P<value>{_VALUE})", re.IGNORECASE)
_QUOTED = re.compile(
    rf"(?P<name>(?P<quote>\\?[\"'])(?:{_NAME_PATTERN})(?P=quote)\s*[:,]\s*[bBrRuU]?)"
    r"(?P<value>(?P<open>\\?[\"'])(?:(?!(?P=open)).)*(?P=open)?)",
    re.IGNORECASE,
)
_HEADER = re.compile(
    rf"(?<![\w.-])(?P<name>(?:{_NAME_PATTERN}):\s+(?:(?:Bearer|Basic|Token|Digest)\s+)?)"
    r"(?P<value>(?=[^\s,;]*\d)[^\s\"',;<>]{8,})",
    re.IGNORECASE,
)
_SCHEME = re.compile(
    r"\b(?P<name>(?:Bearer|Basic)\s+)(?P<value>(?=[^\s\"']*[\d=.])[\w.~+/=-]{8,})", re.IGNORECASE
)
_WELL_KNOWN = re.compile(
    r"\b(?:xox[a-z]-[\w-]{8,}|gh[a-z]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"
    r"|[sr]k_(?:live|test)_\w{8,}|sk-[\w-]{20,}|whsec_[\w+/=]{16,}|AKIA[0-9A-Z]{12,}"
    r"|AIza[\w-]{30,}|SG\.[\w-]{16,}\.[\w-]{16,}|eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?)"
)
_RANDOM_LOOKING = re.compile(
    r"(?=[^\d]*\d)(?=[^A-Za-z]*[A-Za-z])[\w.~%+=:@!$*-]{16,}|[\w~%+=-]{24,}"
)


_SUSPICIOUS = re.compile(
    r"://|passw|passphr|secret|token|key|signature|credential|authorization|cookie|pwd|pass|sig|auth"
    r"|jwt|bearer|basic|xox|gh[a-z]_|github_|glpat|sk-|[sr]k_|whsec|akia|aiza|sg\.|eyj",
    re.IGNORECASE,
)
"""Matches at least every text that one of the other expressions matches."""


def redacted(text: str) -> str:
    """Return a text without likely secrets, and without characters that no store can hold.

    >>> redacted("GET https://ann:pw@api.example/v1/orders?token=abc failed")
    'GET https://***@api.example/v1/orders?token=*** failed'
    >>> redacted("connect(host=db.example, password='hunter2')")
    'connect(host=db.example, password=***)'
    """
    text = _writable(text)
    if _SUSPICIOUS.search(text) is None:
        return text
    if "://" in text:
        text = _URL.sub(_url, text)
    text = _ASSIGNED.sub(rf"\g<name>={MASK}", text)
    if ":" in text or "," in text:
        text = _QUOTED.sub(_quoted, text)
        text = _HEADER.sub(rf"\g<name>{MASK}", text)
    text = _SCHEME.sub(rf"\g<name>{MASK}", text)
    return _WELL_KNOWN.sub(MASK, text)


def _writable(text: str) -> str:
    """Return a text with the characters escaped that UTF-8 or a database cannot hold."""
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("\0", "\\x00") if "\0" in text else text


def _quoted(match: re.Match[str]) -> str:
    return f"{match['name']}{match['open']}{MASK}{match['open']}"


def _url(match: re.Match[str]) -> str:
    scheme, host, rest = match["scheme"], match["authority"], match["rest"]
    user, at, host = host.rpartition("@")
    if "@" in rest and _is_userinfo(scheme, host):  # a password with a slash in it
        before, at, after = rest.rpartition("@")
        user, (host, slash, path) = before or user, after.partition("/")
        rest = slash + path
    shown = f"{scheme}://{MASK + '@' if at else ''}{host}"
    if _WEBHOOK_HOSTS.search(host):
        return shown + (f"/{MASK}" if len(rest) > 1 else rest)
    before, mark, fragment = rest.partition("#")
    path, question_mark, query = before.partition("?")
    is_database = scheme.lower() in _DATABASE_SCHEMES
    shown += path if is_database else "/".join(map(_segment, path.split("/")))
    if question_mark:
        shown += question_mark + "&".join(map(_parameter, query.split("&")))
    return shown + mark + (MASK if "=" in fragment else _segment(fragment))


def _is_userinfo(scheme: str, host: str) -> bool:
    """Return whether the text after a host is the rest of a password, not a port."""
    port = host.rpartition(":")[2] if ":" in host else ""
    return not scheme.lower().startswith("http") or not (port.isdigit() or ":" not in host)


def _segment(text: str) -> str:
    return MASK if _RANDOM_LOOKING.fullmatch(text) else text


def _parameter(text: str) -> str:
    name, equals, value = text.partition("=")
    if not equals:
        return MASK if name else ""
    return f"{name}={MASK if value else ''}"


class Redactor:
    """Redacts known secrets, and then everything that looks like one.

    >>> Redactor(["S3CRET/token"])("Cannot POST /hooks/S3CRET%2Ftoken")
    'Cannot POST /hooks/***'
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._encodings: tuple[str, ...] = ()
        self._prefixes: frozenset[str] = frozenset()
        self._longest_prefix = 0
        self.hide: Callable[[str], str] = self._hidden
        """Returns a text without known secrets."""
        self.add_secrets(secrets)

    @property
    def secrets(self) -> frozenset[str]:
        """The known secrets."""
        return self._secrets

    def add_secrets(self, secrets: Iterable[str]) -> None:
        """Add secrets to redact."""
        fresh = frozenset(secret for secret in secrets if len(secret) >= _MIN_SECRET_LENGTH)
        if fresh <= self._secrets:
            return
        self._secrets |= fresh
        forms = {
            form
            for secret in self._secrets
            for form in _encodings_of(secret)
            if len(form) >= _MIN_SECRET_LENGTH
        }
        self._encodings = tuple(sorted({form.lower() for form in forms}, key=len, reverse=True))
        cut = (form[:end] for form in forms for end in range(_MIN_TAIL, min(len(form), _MAX_TAIL)))
        self._prefixes = frozenset(cut)
        self._longest_prefix = max(map(len, self._prefixes), default=0)
        self.hide = lru_cache(maxsize=256)(self._hidden)  # failures of a batch repeat texts

    def __call__(self, text: str) -> str:
        """Return a text without secrets."""
        return redacted(self.hide(text))

    def _hidden(self, text: str) -> str:
        lowered = text.lower()
        patterns = [re.escape(form) for form in self._encodings if form in lowered]
        if patterns:
            text = re.sub("|".join(patterns), MASK, text, flags=re.IGNORECASE)
        return self._cut_off(text)

    def _cut_off(self, text: str) -> str:
        """Mask a truncated secret at the end of a text."""
        body = text.rstrip("…. ")
        for length in range(min(self._longest_prefix, len(body)), _MIN_TAIL - 1, -1):
            if body[-length:] in self._prefixes:
                return body[:-length] + MASK + text[len(body) :]
        return text


def _encodings_of(secret: str) -> Iterable[str]:
    """Yield the forms in which libraries write a secret: encoded, decoded, quoted."""
    yield secret
    for plain in {secret, unquote(secret)}:
        yield from (plain, quote(plain), quote(plain, safe=""), quote_plus(plain))
        yield plain.replace(" ", "+")
        yield repr(plain)[1:-1]
        yield repr(plain.encode("utf-8", "replace"))[2:-1]
        yield json.dumps(plain)[1:-1]
        yield json.dumps(plain, ensure_ascii=False)[1:-1]
