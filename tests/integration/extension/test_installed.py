"""The example of an extension, built as a wheel and installed: found, used, held to the suites."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from command import DEADLINE_S, environment, running, until
from document import ROOT

EXAMPLE = ROOT / "examples" / "extension"


def run(*command: str, cwd: Path, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
        timeout=5 * DEADLINE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the wheel and install it into a folder, without a network."""
    folder = tmp_path_factory.mktemp("extension")
    shutil.copytree(EXAMPLE, folder / "source")
    pip = ("-m", "pip", "--disable-pip-version-check")
    offline = ("--no-index", "--no-deps")
    run(*pip, "wheel", *offline, "--no-build-isolation", "-w", "wheels", "./source", cwd=folder)
    (wheel,) = (folder / "wheels").glob("*.whl")
    run(*pip, "install", *offline, "--target", "site", str(wheel), cwd=folder)
    return str(folder / "site")


def test_a_flow_uses_what_the_distribution_adds(site: str, tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "shop.py", tmp_path)
    with running("shop.py", cwd=tmp_path, PYTHONPATH=site) as server:
        url, body = f"{server.url}/in/orders", "id,customer\n1,Ada\n2,\n"
        for _ in range(2):
            answer = httpx.post(url, content=body, headers={"Content-Type": "text/csv"})
            assert answer.status_code == 202, answer.text
        orders = tmp_path / "orders.csv"
        until(lambda: orders.exists() and orders.read_text().count("\n") == 2, "both are written")
        refused = httpx.post(url, content=b"\xff", headers={"Content-Type": "text/csv"})
        assert (refused.status_code, refused.json()["type"]) == (400, "urn:busway:problem:not-csv")
        assert server.stop() == 0
    assert sorted(orders.read_text().splitlines()) == ["1,Ada", "2"]


def test_it_keeps_what_the_suites_ask_for(site: str, tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "test_busway_csv.py", tmp_path)
    options = ("-q", "-p", "no:cacheprovider", "test_busway_csv.py")
    ran = run("-m", "pytest", *options, cwd=tmp_path, PYTHONPATH=site)
    assert " passed" in ran
    assert "skipped" not in ran


def test_the_documentation_shows_the_example() -> None:
    page = (ROOT / "docs" / "extending.md").read_text("utf-8")
    for name in ("busway_csv.py", "pyproject.toml", "shop.py", "test_busway_csv.py"):
        assert (EXAMPLE / name).read_text("utf-8").strip() in page, name


def test_the_example_is_short() -> None:
    text = (EXAMPLE / "busway_csv.py").read_text("utf-8")
    code = [
        node for node in ast.parse(text).body if not isinstance(node, ast.Import | ast.ImportFrom)
    ]
    lines = "\n".join(ast.get_source_segment(text, node) or "" for node in code).splitlines()
    assert 30 < len([line for line in lines if line.strip()]) <= 60
