"""Who may call: whoever brings the token."""

from __future__ import annotations

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from busway.api.problem import PROBLEM_TYPE, Problem, problem
from busway.credential import is_same_secret
from busway.network import is_cross_site, is_loopback, is_own_name

PREFIX = "/api/"
_WITH_BODY = ("POST", "PUT", "PATCH")
_BRING = (
    "send the server's token as Authorization: Bearer …; commands take it from BUSWAY_API_TOKEN."
    " The server keeps the one that it made as api-token in its data directory"
)


class Access(msgspec.Struct, frozen=True):
    """Whom the API answers: who brings the ``token``, or, where it is ``open``, this machine.

    Without either it answers nobody.
    """

    token: str = ""
    open: bool = False


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request before it is looked at."""

    method: str
    peer: str | None
    host: str | None
    authorization: str = ""
    content_type: str = ""
    origin: str | None = None
    fetch_site: str = ""


def refusal(caller: Caller, access: Access) -> Problem | None:
    """Say why a caller is not let in, or ``None``.

    A web page of another origin gets nothing, whatever it brings. Where no token is asked for, only
    this machine is answered, and only under a name of its own: a web page in a browser here that
    was rebound to this address comes with the page's host. A change must be JSON, which a foreign
    page cannot send without asking.
    """
    if is_cross_site(caller.fetch_site, caller.origin, caller.host):
        return problem(403, "a web page of another origin may not call the API")
    found = _unproven(caller) if access.open else _untold(caller.authorization, access.token)
    if found is None and caller.method in _WITH_BODY and not _is_json(caller.content_type):
        return problem(415, "a change is sent as Content-Type: application/json")
    return found


def guarded(app: ASGIApp, access: Access) -> ASGIApp:
    """Return an app that answers for ``app`` to whoever may not call."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["path"].startswith(PREFIX):
            found = refusal(_caller(scope), access)
            if found is not None:
                await _refuse(found, send)
                return
        await app(scope, receive, send)

    return answer


def _unproven(caller: Caller) -> Problem | None:
    """Say why a caller is not let in where no token is asked for."""
    if not is_loopback(caller.peer):
        return problem(403, "with BUSWAY_API_OPEN the API answers only to its own machine")
    if not is_own_name(caller.host):
        host = (caller.host or "")[:100]
        return problem(403, f"Host {host!r} is not a name of this machine: use 127.0.0.1")
    return None


def _untold(authorization: str, token: str) -> Problem | None:
    """Say why a caller is not let in who has to bring the token."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return problem(401, f"no token was sent; {_BRING}")
    if not is_same_secret(given.strip(), token):
        return problem(401, f"the token that was sent is wrong; {_BRING}")
    return None


async def _refuse(found: Problem, send: Send) -> None:
    body = msgspec.json.encode(found)
    headers = [
        (b"content-type", PROBLEM_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    if found.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="busway"'))
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
