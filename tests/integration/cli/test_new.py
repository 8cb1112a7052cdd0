"""``busway new``: what it writes is tested, runs, and does what its README says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from command import busway, curl, environment, running, select, until
from document import ROOT, blocks

README = ROOT / "README.md"
LONG_S = 600.0
"""How long tools may take that look at everything, on a busy machine."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    ended = busway("new", "shop", cwd=tmp_path)
    assert ended.code == 0
    assert ended.out.endswith("next: cd shop && busway run flows.py\n")
    return tmp_path / "shop"


def posted(path: Path) -> str:
    """Return the ``curl`` of a document."""
    (found,) = (block.text for block in blocks(path, "sh") if block.text.startswith("curl"))
    return found


def orders(path: Path) -> list[tuple[int, float]]:
    return select(path, "SELECT order_id, total FROM orders")


def test_it_writes_everything_with_its_name(project: Path) -> None:
    names = {path.name for path in project.iterdir()}
    assert names == {"flows.py", "test_flows.py", "README.md", ".env.example", ".gitignore"}
    texts = "".join(path.read_text() for path in project.iterdir())
    assert 'App("shop")' in texts
    assert "{{" not in texts


def test_a_folder_with_a_blank_is_quoted_in_what_comes_next(tmp_path: Path) -> None:
    ended = busway("new", "my shop", cwd=tmp_path)
    assert ended.out.endswith("next: cd 'my shop' && busway run flows.py\n")


def test_its_tests_pass(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:cacheprovider"],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_it_is_typed_and_formatted(project: Path) -> None:
    for tool in (["mypy", "--strict"], ["ruff", "check"], ["ruff", "format", "--check"]):
        files = ["flows.py", "test_flows.py"]
        done = subprocess.run(
            [sys.executable, "-m", *tool, *files],
            cwd=project,
            capture_output=True,
            text=True,
            timeout=LONG_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_it_does_what_its_readme_says(project: Path) -> None:
    command = posted(project / "README.md")
    with running("flows.py", cwd=project) as server:
        assert curl(command, server.url).status_code == 202
        until(lambda: orders(project / "orders.db") == [(4711, 250.0)], "the row")
        until((project / "events.jsonl").read_text, "the line")
        shown = "big_orders  order.created  "
        assert server.process.stdout is not None
        line = server.process.stdout.readline()
        assert line.startswith(shown)
        assert json.loads(line.removeprefix(shown)) == {
            "say_thanks_to": "ada@lovelace.org",
            "for": 250.0,
        }
        assert curl(command, server.url).json() == {"accepted": 0, "duplicates": 1}
        status = busway("status", "--json", cwd=project).json()["flows"]
        assert [flow["accepted"] for flow in status] == [1, 1, 1]


def test_the_env_example_works_as_it_is(project: Path) -> None:
    (project / ".env").write_text((project / ".env.example").read_text())
    with running("flows.py", cwd=project) as server:
        assert curl(posted(project / "README.md"), server.url).status_code == 202
        until(lambda: orders(project / "orders.db"), "the row")


def test_the_first_flow_of_our_readme_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(next(blocks(README, "python")).text)
    with running("shop.py", cwd=tmp_path) as server:
        answer = curl(posted(README), server.url)
        assert (answer.status_code, answer.text) == (202, '{"accepted":1,"duplicates":0}')
        until(lambda: orders(tmp_path / "shop.db") == [(4711, 250.0)], "the row")


def test_what_is_there_is_left_alone(project: Path) -> None:
    ended = busway("new", "shop", cwd=project.parent)
    assert ended.code == 1
    assert ended.err == "busway: shop is not empty; use a new folder\n"


def test_a_strange_name_is_no_trouble(tmp_path: Path) -> None:
    assert busway("new", 'a "b" c', cwd=tmp_path).code == 0
    assert 'App("a-b-c")' in (tmp_path / 'a "b" c' / "flows.py").read_text()
