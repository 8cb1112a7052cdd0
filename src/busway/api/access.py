"""Authentication: which callers the API answers."""

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

_CALLER_NAME = "busway.actor"
_WITH_BODY = ("POST", "PUT", "PATCH")
_HOW_TO_AUTHENTICATE = (
    "send the server's token as Authorization: Bearer …; commands read it from BUSWAY_API_TOKEN."
    " A token that the server created is in the file api-token of its data directory"
)


class RefusedCalls(Protocol):
    """Counts calls without a valid token, and delays their answers."""

    def count(self, part: Literal["api"], reason: Literal["missing", "wrong"], peer: str) -> float:
        """Count a refused call; return by how many seconds to delay its answer."""
        ...

    async def hold(self, peer: str, delay_s: float) -> int:
        """Wait and return 0, or return at once after how many seconds the caller may retry."""
        ...


class KeyLookup(Protocol):
    """Looks up the keys of the installation."""

    def named(self, secret: str, scope: Literal["admin"]) -> str | None:
        """Return the name of the key with this secret and scope, or ``None``."""
        ...


class ApiAccess(msgspec.Struct, frozen=True):
    """Which callers the API answers: those with the ``token`` or a key with the scope ``admin``.

    If it is ``open``, it answers every caller on this machine. Without any of these it answers
    nobody.
    """

    token: str = ""
    open: bool = False
    watch: RefusedCalls | None = None
    keys: KeyLookup | None = None


class ApiCaller(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes of a request that authentication looks at."""

    method: str
    peer: str | None
    host: str | None
    authorization: str = ""
    content_type: str = ""
    origin: str | None = None
    fetch_site: str = ""


def authorize(caller: ApiCaller, access: ApiAccess) -> str | Problem:
    """Return the name of a caller by its credential, or the problem why it is refused.

    A web page of another origin is refused whatever it sends. Without tokens, only callers on this
    machine are answered, and only if they use a name of this machine: a web page that was rebound
    to this address (DNS rebinding) sends its own host. A change must be JSON, which a page of
    another origin cannot send without a preflight request.
    """
    if is_cross_site(caller.fetch_site, caller.origin, caller.host):
        return problem(403, "a web page of another origin may not call the API")
    found = (
        _authorize_open(caller)
        if access.open
        else _authorize_secret(bearer_token(caller.authorization), access)
    )
    if isinstance(found, Problem):
        return found
    if caller.method in _WITH_BODY and not _is_json(caller.content_type):
        return problem(415, "a change is sent as Content-Type: application/json")
    return found


def require_access(app: ASGIApp, access: ApiAccess) -> ASGIApp:
    """Return an app that refuses callers without access, and passes the others on to ``app``."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and _is_api(scope["path"]):
            found = authorize(_caller(scope), access)
            if isinstance(found, Problem):
                await _refuse(*await _slow_down(found, scope, access.watch), send)
                return
            _set_caller_name(scope, found)
        await app(scope, receive, send)

    return answer


def require_authorized(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Refuse a call that reached a handler without being authorized, by whatever path."""
    if _CALLER_NAME not in connection.scope and not handler.opt.get("public"):
        raise NotAuthorizedException(detail=_HOW_TO_AUTHENTICATE)


def authorized_as(name: str, app: ASGIApp) -> ASGIApp:
    """Return an app that treats every caller as authorized, under a name."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        _set_caller_name(scope, name)
        await app(scope, receive, send)

    return answer


def caller_name(scope: Scope) -> str:
    """Return the name of an authorized caller."""
    return str(dict(scope)[_CALLER_NAME])


def _is_api(path: str) -> bool:
    """Return whether a path leads to the API, as the router reads it: repeated slashes are one.

    >>> _is_api("/api/v1/status"), _is_api("//api///v1/status"), _is_api("/api"), _is_api("/apis")
    (True, True, True, False)
    """
    return next(filter(None, path.split("/")), "") == "api"


def _set_caller_name(scope: Scope, name: str) -> None:
    # ASGI allows additional keys in a scope; litestar's types do not
    cast(dict[str, Any], scope)[_CALLER_NAME] = name


def _authorize_open(caller: ApiCaller) -> str | Problem:
    """Authorize a caller without a token, if it is on this machine."""
    if not is_loopback(caller.peer):
        return problem(403, "with BUSWAY_API_OPEN the API answers only callers on its own machine")
    if not is_trusted_host(caller.host):
        host = (caller.host or "")[:100]
        return problem(403, f"Host {host!r} is not a name of this machine: use 127.0.0.1")
    return ANONYMOUS


def _authorize_secret(secret: str, access: ApiAccess) -> str | Problem:
    """Authorize a caller by its token or key."""
    if not secret:
        return problem(401, f"no token was sent; {_HOW_TO_AUTHENTICATE}")
    if is_same_secret(secret, access.token):
        return API_TOKEN
    name = None if access.keys is None else access.keys.named(secret, "admin")
    return name or problem(401, f"the token that was sent is wrong; {_HOW_TO_AUTHENTICATE}")


async def _slow_down(
    found: Problem, scope: Scope, watch: RefusedCalls | None
) -> tuple[Problem, int]:
    """Return the problem to answer with, delayed if calls without a valid token are frequent, and
    after how many seconds the caller may retry."""
    if watch is None or found.status != 401:
        return found, 0
    caller = _caller(scope)
    peer = caller.peer or ""
    delay_s = watch.count("api", "wrong" if bearer_token(caller.authorization) else "missing", peer)
    later_s = await watch.hold(peer, delay_s)
    if not later_s:
        return found, 0
    detail = f"too many calls with a wrong token from this address; try again in {later_s} s"
    return problem(429, detail), later_s


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


def _caller(scope: Scope) -> ApiCaller:
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    client = scope.get("client")
    return ApiCaller(
        # only HTTP scopes get here; litestar's union of scopes is not narrowed by that
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
