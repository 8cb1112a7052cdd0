"""Who may call: whoever brings the token."""

from __future__ import annotations

from typing import Any, Literal, Protocol, cast

import msgspec
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from busway.actor import ANONYMOUS, API_TOKEN
from busway.api.problem import PROBLEM_TYPE, Problem, problem
from busway.credential import bearer_token, is_same_secret
from busway.network import is_cross_site, is_loopback, is_trusted_host

_PROVEN = "busway.actor"
_WITH_BODY = ("POST", "PUT", "PATCH")
_BRING = (
    "send the server's token as Authorization: Bearer …; commands take it from BUSWAY_API_TOKEN."
    " The server keeps the one that it made as api-token in its data directory"
)


class Watch(Protocol):
    """Is told of calls that are refused for want of a valid token, and holds their answers back."""

    def count(self, part: Literal["api"], reason: Literal["missing", "wrong"], peer: str) -> float:
        """Count one; return for how many seconds to hold its answer back."""
        ...

    async def hold(self, peer: str, delay_s: float) -> int:
        """Wait; return 0, or without waiting after how many seconds the caller may come again."""
        ...


class Keys(Protocol):
    """Knows the keys of the installation."""

    def named(self, secret: str, scope: Literal["admin"]) -> str | None:
        """Return the name of the key that a secret is, where it may do this; else ``None``."""
        ...


class Access(msgspec.Struct, frozen=True):
    """Whom the API answers: who brings the ``token`` or a key with the scope ``admin``.

    Where it is ``open`` it answers this machine. Without any of them it answers nobody.
    """

    token: str = ""
    open: bool = False
    watch: Watch | None = None
    keys: Keys | None = None


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request before it is looked at."""

    method: str
    peer: str | None
    host: str | None
    authorization: str = ""
    content_type: str = ""
    origin: str | None = None
    fetch_site: str = ""


def proven(caller: Caller, access: Access) -> str | Problem:
    """Return the name that a caller has by its credential, or why it is not let in.

    A web page of another origin gets nothing, whatever it brings. Where no token is asked for, only
    this machine is answered, and only under a name of its own: a web page in a browser here that
    was rebound to this address comes with the page's host. A change must be JSON, which a foreign
    page cannot send without asking.
    """
    if is_cross_site(caller.fetch_site, caller.origin, caller.host):
        return problem(403, "a web page of another origin may not call the API")
    found = _unproven(caller) if access.open else _named(bearer_token(caller.authorization), access)
    if isinstance(found, Problem):
        return found
    if caller.method in _WITH_BODY and not _is_json(caller.content_type):
        return problem(415, "a change is sent as Content-Type: application/json")
    return found


def guarded(app: ASGIApp, access: Access) -> ASGIApp:
    """Return an app that answers for ``app`` to whoever may not call."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and _is_api(scope["path"]):
            found = proven(_caller(scope), access)
            if isinstance(found, Problem):
                await _refuse(*await _slowed(found, scope, access.watch), send)
                return
            _prove(scope, found)
        await app(scope, receive, send)

    return answer


def let_in(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuse whoever came to a handler without having been let in, by whatever path."""
    if _PROVEN not in connection.scope and not handler.opt.get("public"):
        raise NotAuthorizedException(detail=_BRING)


def proven_as(name: str, app: ASGIApp) -> ASGIApp:
    """Return an app whose every caller is known under a name."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        _prove(scope, name)
        await app(scope, receive, send)

    return answer


def proven_name(scope: Scope) -> str:
    """Return the name that the caller has by its credential."""
    return str(dict(scope)[_PROVEN])


def _is_api(path: str) -> bool:
    """Say whether a path leads to the API, as the router reads it: many slashes are one.

    >>> _is_api("/api/v1/status"), _is_api("//api///v1/status"), _is_api("/api"), _is_api("/apis")
    (True, True, True, False)
    """
    return next(filter(None, path.split("/")), "") == "api"


def _prove(scope: Scope, name: str) -> None:
    # a key of its own, which ASGI allows and litestar's types do not know
    cast(dict[str, Any], scope)[_PROVEN] = name


def _unproven(caller: Caller) -> str | Problem:
    """Return the name of a caller where no token is asked for, or why it is not let in."""
    if not is_loopback(caller.peer):
        return problem(403, "with BUSWAY_API_OPEN the API answers only to its own machine")
    if not is_trusted_host(caller.host):
        host = (caller.host or "")[:100]
        return problem(403, f"Host {host!r} is not a name of this machine: use 127.0.0.1")
    return ANONYMOUS


def _named(secret: str, access: Access) -> str | Problem:
    """Return the name of whoever brings a secret, or why it is not let in."""
    if not secret:
        return problem(401, f"no token was sent; {_BRING}")
    if is_same_secret(secret, access.token):
        return API_TOKEN
    name = None if access.keys is None else access.keys.named(secret, "admin")
    return name or problem(401, f"the token that was sent is wrong; {_BRING}")


async def _slowed(found: Problem, scope: Scope, watch: Watch | None) -> tuple[Problem, int]:
    """Return what to answer to a call that is not let in, after a wait where that is due; and after
    how many seconds it may come again."""
    if watch is None or found.status != 401:
        return found, 0
    caller = _caller(scope)
    peer = caller.peer or ""
    delay_s = watch.count("api", "wrong" if bearer_token(caller.authorization) else "missing", peer)
    later_s = await watch.hold(peer, delay_s)
    if not later_s:
        return found, 0
    told = f"too many wrong tokens come from here; try again in {later_s} s"
    return problem(429, told), later_s


async def _refuse(found: Problem, later_s: int, send: Send) -> None:
    body = msgspec.json.encode(found)
    headers = [
        (b"content-type", PROBLEM_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    if found.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="busway"'))
    if later_s:
        headers.append((b"retry-after", str(later_s).encode()))
    await send({"type": "http.response.start", "status": found.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _caller(scope: Scope) -> Caller:
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    client = scope.get("client")
    return Caller(
        # only HTTP scopes come here; litestar's union of scopes is not narrowed by that
        method=str(scope["method"]),  # type: ignore[typeddict-item]
        peer=client[0] if client else None,
        host=headers.get(b"host"),
        authorization=headers.get(b"authorization", ""),
        content_type=headers.get(b"content-type", ""),
        origin=headers.get(b"origin"),
        fetch_site=headers.get(b"sec-fetch-site", ""),
    )


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"
