"""The API on an address of its own: it is not at the intake's, and commands find it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from command import DEADLINE_S, busway, get, running
from service import free_ports

FLOWS = """
from busway import App
from busway.sinks import jsonl

app = App("shop")
app.flow("orders", to=jsonl("orders.jsonl"))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(FLOWS)
    return tmp_path


def test_each_answers_what_is_its_own_and_says_where_the_other_is(folder: Path) -> None:
    more = {"BUSWAY_API_TOKEN": "", "XDG_STATE_HOME": str(folder / "state")}
    with running("shop.py", "--api-port", "0", cwd=folder, **more) as server:
        api = server.ready.rpartition(" API on ")[2].strip()
        assert api.startswith("http://127.0.0.1:")
        assert api != server.url
        assert server.post({"id": "1", "data": {}}).status_code == 202
        strange = get(f"{server.url}/api/v1/status")
        assert (strange.status_code, strange.json()["title"]) == (404, "Not here")
        assert f"the API is at {api}" in strange.json()["detail"]
        turned = httpx.post(f"{api}/events", json={}, timeout=DEADLINE_S)
        assert turned.status_code == 404
        assert f"events go to POST {server.url}/events" in turned.json()["detail"]
        assert get(f"{api}/api/v1/status").status_code == 401
        assert get(f"{api}/healthz").status_code == 200
        assert server.process.stdout is not None
        assert server.process.stdout.readline().startswith(f"open {api}/#token=")
        assert busway("status", cwd=folder, **more).code == 0
        (folder / "elsewhere").mkdir()
        assert busway("status", "--url", api, cwd=folder / "elsewhere", **more).code == 0
        assert server.stop() == 0


def test_an_address_that_is_taken_is_told_and_nothing_is_left(folder: Path) -> None:
    (port,) = free_ports(1)
    with running("shop.py", "--api-port", str(port), cwd=folder):
        (folder / "other").mkdir()
        (folder / "other" / "shop.py").write_text(FLOWS)
        ended = busway(
            *("run", "shop.py", "--port", "0", "--api-port", str(port)), cwd=folder / "other"
        )
    assert ended.code == 1
    assert f"the API cannot listen on 127.0.0.1 port {port}" in ended.err
    assert "--api-port" in ended.err


def test_an_open_api_may_be_on_loopback_beside_an_intake_that_is_not(folder: Path) -> None:
    more = {"BUSWAY_API_TOKEN": "", "BUSWAY_API_OPEN": "true"}
    address = {"BUSWAY_HOST": "0.0.0.0", "BUSWAY_API_HOST": "127.0.0.1", "BUSWAY_API_PORT": "0"}
    with running("shop.py", cwd=folder, **(more | address)) as server:
        api = server.ready.rpartition(" API on ")[2].strip()
        assert get(f"{api}/api/v1/status", headers={"authorization": ""}).status_code == 200
