"""Clients of the API: of a node that runs (``delivery_node.running``), and of a Control alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx

from busway.api.access import ApiAccess
from busway.api.app import create
from busway.control.context import ControlContext
from delivery_node import DEADLINE_S, Running
from proof import PROOF
from service import NO_TLS

PREFIX = "/api/v1"
OPEN = ApiAccess(open=True)


@asynccontextmanager
async def api_of(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    """Talk to a running node over its port, with its token; paths are below ``/api/v1``."""
    base = f"http://127.0.0.1:{running.node.port}{PREFIX}"
    given: dict[str, Any] = {"trust_env": False, "timeout": DEADLINE_S, "headers": PROOF}
    given |= {"verify": NO_TLS}
    async with httpx.AsyncClient(base_url=base, **given) as client:
        yield client


@asynccontextmanager
async def api_on(
    control: ControlContext, access: ApiAccess = OPEN
) -> AsyncIterator[httpx.AsyncClient]:
    """Talk to the API in this process, on a Control without a node; paths as above."""
    transport = httpx.ASGITransport(cast(Any, create(lambda: control, access)))
    base = f"http://127.0.0.1{PREFIX}"
    async with httpx.AsyncClient(transport=transport, base_url=base, trust_env=False) as client:
        yield client


def problem(answer: httpx.Response, status: int) -> str:
    """Return the detail of a problem document with this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["type"].startswith("urn:busway:problem:")
    return str(document["detail"])
