"""Keys for producers and for people: made by a command, asked for, revoked while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from command import DEADLINE_S, Server, busway, get, running, until

FLOWS = """
from busway import App
from busway.sinks import jsonl

app = App("shop")
app.flow("orders", to=jsonl("orders.jsonl"))
"""
EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"n": 1}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(FLOWS)
    return tmp_path


def sent(server: Server, secret: str = "", **headers: str) -> httpx.Response:
    given = {"authorization": f"Bearer {secret}"} if secret else {}
    url = f"{server.url.replace('0.0.0.0', '127.0.0.1')}/events"
    return httpx.post(url, json=EVENT, headers=given | headers, timeout=DEADLINE_S)


def made(folder: Path, *arguments: str) -> str:
    ended = busway("keys", "create", *arguments, cwd=folder)
    assert ended.code == 0, ended
    return ended.out.splitlines()[-1]


def test_events_need_a_key_where_it_is_asked_for_until_it_is_revoked(folder: Path) -> None:
    with running("shop.py", "--intake-keys", "required", cwd=folder) as server:
        assert any("there is none yet" in one["event"] for one in server.told)
        refused = sent(server)
        assert refused.status_code == 401
        assert "busway keys create --scope intake" in refused.json()["detail"]
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert get(f"{server.url}/healthz").status_code == 200
        secret = made(folder, "--scope", "intake", "--name", "shop")
        other = made(folder, "--scope", "admin", "--name", "ann")
        until(lambda: sent(server, secret).status_code == 202, "the key is known")
        assert [sent(server, one).status_code for one in (other, "busway_no")] == [401, 401]
        listed = busway("keys", "--json", cwd=folder)
        assert [one["name"] for one in listed.json()["items"]] == ["ann", "shop"]
        assert secret not in listed.out + server.log
        assert busway("keys", "revoke", "shop", cwd=folder).out == "key shop is revoked\n"
        until(lambda: sent(server, secret).status_code == 401, "it is worthless")
        told = get(f"{server.url}/metrics").text
        assert 'busway_unauthorized_total{part="intake",reason="wrong"}' in told
        assert 'busway_unauthorized_total{part="intake",reason="missing"}' in told


def test_a_key_with_the_scope_admin_calls_the_api_under_its_own_name(folder: Path) -> None:
    with running("shop.py", cwd=folder) as server:
        secret = made(folder, "--scope", "admin", "--name", "ann")
        proof = {"authorization": f"Bearer {secret}"}
        url = f"{server.url}/api/v1/status"
        until(lambda: get(url, headers=proof).status_code == 200, "the key is known")
        assert busway("pause", "orders", cwd=folder, BUSWAY_API_TOKEN=secret).code == 0
        (entry,) = busway("audit", "flow", "--json", cwd=folder).json()["items"]
        assert (entry["actor"], entry["action"]) == ("ann", "pause")
        assert "@" in entry["remark"]
        intake = made(folder, "--scope", "intake")
        assert get(url, headers={"authorization": f"Bearer {intake}"}).status_code == 401


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "events need a key, and there is none yet"),
        ({"BUSWAY_INTAKE_KEYS": "off"}, "anybody may send events without a key"),
    ],
)
def test_beyond_loopback_events_need_a_key_or_the_start_says_that_they_do_not(
    folder: Path, more: dict[str, str], told: str
) -> None:
    with running("shop.py", cwd=folder, BUSWAY_HOST="0.0.0.0", **more) as server:
        assert sent(server).status_code == (202 if more else 401)
        (line,) = [one for one in server.told if told in one["event"]]
        assert (line["level"], "BUSWAY_INTAKE_KEYS" in line["fix"]) == ("warning", True)


@pytest.mark.parametrize(
    ("page", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://evil.example:1", "host": "evil.example:1"}, 403),
        ({"sec-fetch-site": "same-origin", "host": "evil.example:1"}, 403),
        ({"host": "shop.example"}, 202),
        ({"sec-fetch-site": "none"}, 202),
    ],
)
def test_a_foreign_page_in_a_browser_here_sends_nothing(
    server: Server, page: dict[str, str], status: int
) -> None:
    assert sent(server, **page).status_code == status


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=folder) as found:
        yield found


def test_a_scope_that_there_is_not_is_told(folder: Path) -> None:
    with running("shop.py", cwd=folder):
        ended = busway("keys", "create", "--scope", "intak", cwd=folder)
    assert ended.code == 1
    assert "did you mean 'intake'?" in ended.err
