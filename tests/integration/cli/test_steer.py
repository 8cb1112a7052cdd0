"""``busway pause``, ``resume``, ``drain``, ``throttle``, ``window``: with a server and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from command import Ended, busway, running, until

FLOWS = """
from busway import App
from busway.sinks import jsonl

app = App("shop")
app.flow("orders", when={"type": ["order.created"]}, to=jsonl("orders.jsonl"))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(FLOWS)
    return tmp_path


def steer(folder: Path, *arguments: str, code: int = 0) -> Ended:
    ended = busway(*arguments, cwd=folder)
    assert ended.code == code, ended.out + ended.err
    return ended


def orders(folder: Path) -> dict[str, Any]:
    (found,) = busway("status", "--json", cwd=folder).json()["flows"]
    return dict(found)


def test_a_pause_holds_over_a_restart_and_is_lifted_without_a_server(folder: Path) -> None:
    with running("shop.py", cwd=folder) as server:
        ended = steer(folder, "pause", "orders", "--reason", "the shop moves")
        assert ended.out.startswith("orders is paused: paused by ")
        assert ended.out.endswith(": the shop moves\n")
        server.post({"id": "1"}, {"id": "2"})
        assert server.stop() == 0
    with running("shop.py", cwd=folder) as server:
        server.post({"id": "3"})
        assert (orders(folder)["backlog"], orders(folder)["state"]) == (3, "paused")
        assert "paused" in steer(folder, "status").out
        assert server.stop() == 0
    ended = steer(folder, "resume", "orders")
    assert (
        ended.out == "orders is running\nNothing runs here now: it holds from the next start on.\n"
    )
    with running("shop.py", cwd=folder):
        until(lambda: orders(folder)["delivered"] == 3, "all is delivered")
    assert len((folder / "orders.jsonl").read_text().splitlines()) == 3


def test_throttle_drain_and_windows_with_a_server(folder: Path) -> None:
    with running("shop.py", cwd=folder) as server:
        ended = steer(folder, "throttle", "orders", "--rate", "5/s", "--concurrency", "4")
        held = "orders is running\norders is limited to rate 5/s and concurrency 4, by "
        assert ended.out.startswith(held)
        steer(folder, "throttle", "orders", "--off")
        ended = steer(folder, "throttle", "orders", "--rate", "5/s")
        assert ended.out.startswith("orders is running\norders is limited to rate 5/s, by ")
        found = steer(folder, "throttle", "orders", "--off", "--json").json()
        assert found["controls"]["throttle"] is None
        server.post(*({"id": str(n)} for n in range(10)))
        words = steer(folder, "drain", "orders").out.split()
        assert words[:2] == ["orders", "is"]
        assert words[2] in ("draining:", "paused:")
        until(lambda: orders(folder)["state"] == "paused", "it is drained")
        assert orders(folder)["delivered"] == 10
        steer(folder, "resume", "orders")
        added = steer(folder, "window", "add", "orders", "0 2 * * SUN", "2h", "--tz", "Asia/Tokyo")
        assert added.out.startswith("orders is ")
        (listed,) = steer(folder, "window", "list", "orders", "--json").json()["items"]
        lines = steer(folder, "window", "list", "orders").out.splitlines()
        assert lines[0].split() == ["id", "of", "begins", "lasts", "zone", "next"]
        assert lines[1].startswith(f"{listed['id']}  flow  0 2 * * SUN  2h     Asia/Tokyo  ")
        steer(folder, "window", "remove", "orders", listed["id"])
        assert steer(folder, "window", "list", "orders").out == "No windows.\n"


def test_a_throttle_is_shown_with_its_owner_and_since_when(folder: Path) -> None:
    with running("shop.py", cwd=folder):
        steer(folder, "throttle", "orders", "--rate", "2/h", "--reason", "the CRM asked")
        steer(folder, "throttle", "orders", "--destination", "--concurrency", "4")
        (own, destinations) = orders(folder)["throttles"]
        assert (own["scope"], own["rate"], own["reason"]) == ("flow", "2/h", "the CRM asked")
        assert (destinations["scope"], destinations["concurrency"]) == ("destination", "4")
        since = own["since"].replace("T", " ")[:19]
        says = f"throttled to rate 2/h by {own['actor']} since {since} UTC: the CRM asked"
        for command in (("status",), ("flows", "show", "orders")):
            shown = steer(folder, *command).out
            assert says in shown
            assert f"destination throttled to concurrency 4 by {own['actor']} since " in shown
        steer(folder, "throttle", "orders", "--off")
        assert "rate 2/h" not in steer(folder, "status").out


def test_a_destination_goes_by_its_name_or_its_flow(folder: Path) -> None:
    with running("shop.py", cwd=folder):
        for name in ("orders", "jsonl orders.jsonl"):
            ended = steer(folder, "pause", name, "--destination", "--for", "90m")
            assert ended.out.startswith("jsonl orders.jsonl is paused until 20")
        ended = steer(folder, "resume", "orders")
        assert ended.out.startswith("orders is paused until")
        assert "destination paused by" in ended.out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("pause", "order"), 1, "there is no flow 'order'; did you mean 'orders'?"),
        (("pause", "orders", "--until", "some day"), 1, "is not a valid time"),
        (("pause", "orders", "--until", "2020-01-01T00:00Z"), 1, "has passed"),
        (("pause", "orders", "--for", "2h", "--until", "2030-01-01T00:00Z"), 1, "not both"),
        (("pause",), 2, "Missing argument"),
        (("throttle", "orders"), 1, "--rate, --concurrency or both, or --off"),
        (("throttle", "orders", "--rate", "5"), 1, "invalid rate"),
        (("window", "add", "orders", "0 2 * *", "2h"), 1, "five fields"),
        (("window", "remove", "orders", "nothere"), 1, "no added window"),
        (("window", "skip", "orders"), 1, "in no window now"),
        (("resume", "orders", "--url", "http://127.0.0.1:9"), 3, "no server answers"),
    ],
)
def test_a_mistake_is_told(made: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    ended = busway(*arguments, cwd=made)
    assert ended.code == code
    assert says in ended.err
    assert ended.out == ""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that a server has left."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=folder) as server:
        server.post({"id": "1"})
        until(lambda: orders(folder)["delivered"] == 1, "it is delivered")
    return folder
