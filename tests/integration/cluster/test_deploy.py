"""The files of ``deploy``: what the documentation shows, and what runs as it stands there."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from busway.cli.server import WORKER_STOP_FACTOR
from busway.errors import SettingsError
from busway.settings import Settings, load_settings
from command import BUSWAY, DEADLINE_S, environment, get, until
from document import ROOT, blocks
from proof import TOKEN
from service import free_ports

DEPLOY = ROOT / "deploy"
UNITS = ("busway-serve.service", "busway-work@.service")
FLOWS = """
from busway import App
from busway.sinks import jsonl

app = App("shop")
app.flow("orders", when={"type": ["order.created"]}, to=jsonl("orders.jsonl"))
"""
EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "order.created", "data": {}}


class Unit(configparser.RawConfigParser):
    """A unit file; its options are as they are written."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=False)
        self.read_string((DEPLOY / name).read_text("utf-8"))

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def variables() -> dict[str, str]:
    """Return what the environment file sets."""
    lines = (DEPLOY / "busway.env").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


def instructions() -> Sequence[tuple[str, str]]:
    """Return the instructions of the container file with what they say."""
    text = (DEPLOY / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    return [(name, rest.strip()) for name, rest in re.findall(r"^([A-Z]+) (.+)$", text, re.M)]


@contextmanager
def started(
    command: Sequence[str], folder: Path, given: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Run a command as it would be run there, with what it names where that is here."""
    paths = {"/opt/busway/bin/busway": BUSWAY, "busway": BUSWAY, "/etc/busway/shop.py": "shop.py"}
    process = subprocess.Popen(
        [paths.get(word, word) for word in command],
        cwd=folder,
        env=environment(**given),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("busway ")
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


def ready(url: str) -> bool:
    return get(f"{url}/readyz").status_code == 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(FLOWS)
    return tmp_path


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: str(path.name))
def test_the_documentation_shows_the_file_as_it_is(path: Path) -> None:
    shown = [block.text for block in blocks(ROOT / "docs/cluster.md", "ini", "dockerfile", "yaml")]
    assert path.read_text("utf-8") in shown


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong_with_a_unit(name: str, tmp_path: Path) -> None:
    text = (DEPLOY / name).read_text("utf-8").replace("/opt/busway/bin/busway", BUSWAY)
    unit = tmp_path / name.replace("@", "@1")
    unit.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_gives_a_stop_the_time_that_it_may_take(name: str) -> None:
    service = Unit(name)["Service"]
    drain_s = float(variables()["BUSWAY_DRAIN_S"])
    assert drain_s == Settings().drain_s
    assert float(service["TimeoutStopSec"]) > WORKER_STOP_FACTOR * drain_s + 2 * drain_s
    assert signal.Signals[service["KillSignal"]] == signal.SIGTERM


def test_the_token_of_the_file_is_refused_until_it_is_replaced() -> None:
    with pytest.raises(SettingsError, match=r"BUSWAY_API_TOKEN is too weak: .*generate one"):
        load_settings(variables())


def test_the_units_run_as_they_stand_there(folder: Path, engine: str) -> None:
    given = variables() | {"BUSWAY_ENGINE": engine, "BUSWAY_HOST": "127.0.0.1"}
    given["BUSWAY_API_TOKEN"] = TOKEN
    ports = dict(zip(("8400", "8401", "8402"), free_ports(3), strict=True))
    lines = [Unit(name)["Service"]["ExecStart"] for name in UNITS]
    lines = [lines[0], lines[1].replace("%i", "1"), lines[1].replace("%i", "2")]
    urls = [f"http://127.0.0.1:{port}" for port in ports.values()]
    with ExitStack() as stack:
        running = []
        for line in lines:
            words = [str(ports.get(word, word)) for word in shlex.split(line)]
            running.append(stack.enter_context(started(words, folder, given)))
        for url in urls:
            until(partial(ready, url), f"{url} is ready")
        assert httpx.post(f"{urls[0]}/events", json=EVENT, timeout=DEADLINE_S).status_code == 202
        until((folder / "orders.jsonl").exists, "it is delivered")
        nobody = {"authorization": ""}
        assert get(f"{urls[0]}/api/v1/status", headers=nobody).status_code == 401
        workers = get(f"{urls[0]}/api/v1/workers").json()["workers"]
        assert {one["pid"] for one in workers} == {one.pid for one in running[1:]}
        for one in reversed(running):
            one.send_signal(signal.SIGTERM)
            assert one.wait(DEADLINE_S) == 0


def test_the_container_runs_as_its_file_says(folder: Path, engine: str) -> None:
    said = dict(instructions())
    (port,) = map(str, free_ports(1))
    given = dict(pair.split("=", 1) for pair in shlex.split(said["ENV"])) | {
        "BUSWAY_ENGINE": engine,
        "BUSWAY_PORT": port,
        "PATH": str(Path(BUSWAY).parent),
    }
    command = json.loads(said["ENTRYPOINT"]) + json.loads(said["CMD"])
    check = json.loads(said["HEALTHCHECK"].partition("CMD ")[2])

    def healthy() -> bool:
        found = subprocess.run(check, env=given, stderr=subprocess.DEVNULL, check=False)
        return found.returncode == 0

    with started(command, folder, given) as process:
        until(healthy, "its check finds it healthy")  # within 2 seconds, and tried again
        process.send_signal(signal.Signals[said["STOPSIGNAL"]])
        assert process.wait(DEADLINE_S) == 0
    assert not healthy()


def test_the_container_is_not_run_by_root() -> None:
    names = [name for name, _ in instructions()]
    user = dict(instructions())["USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert names.index("USER") < names.index("ENTRYPOINT")


def test_the_container_copies_what_the_package_is_built_from_and_nothing_else() -> None:
    given = [rest.split() for name, rest in instructions() if name == "COPY"]
    copied = {word for words in given if not words[0].startswith("--") for word in words[:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert copied == {"pyproject.toml", "src", project["readme"], *project["license-files"]}
