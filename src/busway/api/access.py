"""Who may call: anybody with the token, or, where there is none, this machine alone."""

from __future__ import annotations

import hmac
from ipaddress import IPv6Address, ip_address

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from busway.api.problem import PROBLEM_TYPE, Problem, problem

PREFIX = "/api/"
_WITH_BODY = ("POST", "PUT", "PATCH")
_REMEDY = "set BUSWAY_API_TOKEN on the server, and send it as Authorization: Bearer"


class Caller(msgspec.Struct, frozen=True):
    """What is known of a request before it is looked at."""

    method: str
    peer: str | None
    host: str | None
    authorization: str
    content_type: str


def refusal(caller: Caller, token: str) -> Problem | None:
    """Say why a caller is not let in, or ``None``.

    With a token everybody has to bring it. Without one only this machine is answered, and only
    under a name of its own: a web page in a browser here that was rebound to this address comes
    with the page's host. A change must be JSON, which a foreign page cannot send without asking.
    """
    if token:
        if not _brings(caller.authorization, token):
            return problem(401, "send the server's BUSWAY_API_TOKEN as Authorization: Bearer …")
    elif not _is_loopback(caller.peer):
        return problem(403, f"without a token it answers only to its own machine; {_REMEDY}")
    elif not _is_own_name(caller.host):
        host = (caller.host or "")[:100]
        return problem(
            403, f"Host {host!r} is no name of this machine: use 127.0.0.1, or {_REMEDY}"
        )
    if caller.method in _WITH_BODY and not _is_json(caller.content_type):
        return problem(415, "a change is sent as Content-Type: application/json")
    return None


def guarded(app: ASGIApp, token: str) -> ASGIApp:
    """Return an app that answers for ``app`` to whoever may not call."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["path"].startswith(PREFIX):
            found = refusal(_caller(scope), token)
            if found is not None:
                await _refuse(found, send)
                return
        await app(scope, receive, send)

    return answer


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
    )


def _brings(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    same = hmac.compare_digest(given.strip().encode("latin-1"), token.encode())
    return scheme.lower() == "bearer" and same


def _is_loopback(peer: str | None) -> bool:
    try:
        address = ip_address(peer or "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _is_own_name(host: str | None) -> bool:
    name = _without_port(host or "").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"
