"""What the OpenAPI document says holds, for cases that schemathesis makes of it: a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from busway.api.app import create_routes
from busway.api.openapi import document
from busway.control.context import ControlContext
from busway.testing import MemoryLedger, MemoryLog
from command import Server, busway, running, until
from proof import PROOF

SCHEMA = schemathesis.openapi.from_dict(
    document(create_routes(lambda: ControlContext(log=MemoryLog(1), ledger=MemoryLedger())))
)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
FLOWS = """
from busway import App, Reject
from busway.sinks import jsonl

app = App("shop")
app.flow("orders", to=jsonl("orders.jsonl"))

@app.flow(to=jsonl("bad.jsonl"))
def bad(event):
    raise Reject("no")
"""
CASES = 8
"""How many of each operation."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("schemathesis")
    (folder / "flows.py").write_text(FLOWS)
    with running("flows.py", cwd=folder, BUSWAY_PARTITIONS="1") as found:
        found.post({"id": "e1", "data": {"n": 1}}, {"id": "e2", "data": {"n": 2}})
        until(lambda: busway("dead", "show", "bad/0/1", cwd=folder).code == 0, "they are dead")
        yield found


@SCHEMA.parametrize()
@settings(
    max_examples=CASES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_document_is_kept(case: Any, server: Server) -> None:
    if case.path.endswith("/tail"):
        case.query = {**(case.query or {}), "follow": "false"}
    answer = case.call(base_url=server.url, headers=PROOF, timeout=30)
    case.validate_response(answer, checks=CHECKS)
