"""The API's token: made at the first start, kept, printed once, found by commands of its user."""

from __future__ import annotations

import re
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from busway.cli.server_registry import find_server
from command import BUSWAY, DEADLINE_S, Server, busway, environment, get, running
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
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


@contextmanager
def unset(folder: Path, *arguments: str, **more: str) -> Iterator[Server]:
    """Run the flows with no token set."""
    with running("shop.py", *arguments, cwd=folder, **(alone(folder) | more)) as server:
        yield server


def alone(folder: Path) -> dict[str, str]:
    """Return the environment in which nothing is known of a token."""
    return {"BUSWAY_API_TOKEN": "", "XDG_STATE_HOME": str(folder / "state")}


def kept(folder: Path) -> str:
    path = folder / ".busway" / "api-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path.read_text().strip()


def asked(server: Server, token: str) -> int:
    given = {"authorization": f"Bearer {token}".strip()}
    return get(f"{server.url}/api/v1/status", headers=given).status_code


def test_a_token_is_made_printed_once_and_asked_for_from_then_on(folder: Path) -> None:
    with unset(folder) as server:
        assert server.process.stdout is not None
        said = server.process.stdout.readline()
        found = re.fullmatch(r"open (\S+)/#token=(\S+) \(.*kept in \.busway/api-token\)\n", said)
        assert found, said
        assert (found[1], found[2]) == (server.url, kept(folder))
        assert (asked(server, ""), asked(server, "no"), asked(server, found[2])) == (401, 401, 200)
        assert get(f"{server.url}/healthz", headers={"authorization": ""}).status_code == 200
        assert get(server.url, headers={"authorization": ""}).status_code == 200
        assert found[2] not in server.log
    with unset(folder) as server:
        assert asked(server, found[2]) == 200
        server.stop()
        assert server.process.stdout is not None
        assert server.process.stdout.read() == ""


def test_commands_of_the_same_user_find_it_by_the_directory_and_by_the_url(folder: Path) -> None:
    away, alone_ = folder / "elsewhere", alone(folder)
    with unset(folder) as server:
        port = urlsplit(server.url).port
        assert busway("status", cwd=folder, **alone_).code == 0
        for url in (server.url, f"{server.url}/", f"http://localhost:{port}"):
            ended = busway("status", "--url", url, cwd=away, **alone_)
            assert (ended.code, ended.err) == (0, "")
        strange = busway(
            "status", "--url", server.url, cwd=away, **alone_ | {"XDG_STATE_HOME": "/"}
        )
        assert strange.code == 1
        assert "no token was sent" in strange.err
        assert "BUSWAY_API_TOKEN" in strange.err
        wrong = alone_ | {"BUSWAY_API_TOKEN": "wr0ng-9f3kq7zxw2mv-yes"}
        assert "is wrong" in busway("status", "--url", server.url, cwd=away, **wrong).err
        records = list((folder / "state/busway/servers").iterdir())
        assert [stat.S_IMODE(path.stat().st_mode) for path in records] == [0o600]
        assert kept(folder) not in records[0].read_text()
        server.stop()
    assert list((folder / "state/busway/servers").iterdir()) == []


def test_the_token_of_a_server_that_was_killed_goes_to_nobody(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unset(folder) as server:
        server.process.kill()
        server.process.wait(DEADLINE_S)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    assert list((folder / "state/busway/servers").iterdir())
    assert find_server(server.url) is None, "its record is left, and nobody holds it"
    with unset(folder):
        assert len(list((folder / "state/busway/servers").iterdir())) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:{}",
        "http://127.0.0.2:{}",
        "http://[::1]:{}",
        "http://127.0.0.1:{}@evil.example",
        "http://evil.example:{}",
        "http://127.0.0.1.evil.example:{}",
        "http://user@127.0.0.1:{}",
        "http://127.0.0.1:{}/elsewhere",
        "http://0.0.0.0:{}",
        "nonsense",
    ],
)
def test_it_goes_to_no_address_but_the_one_that_it_was_recorded_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    with unset(folder) as server:
        found = find_server(server.url)
        assert found is not None
        assert found.url == server.url
        assert find_server(url.format(urlsplit(server.url).port)) is None


def test_a_proxy_of_the_environment_never_sees_it(folder: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_ports(1)[0]}"
    with unset(folder) as server:
        more = alone(folder) | {"HTTP_PROXY": nowhere, "http_proxy": nowhere, "ALL_PROXY": nowhere}
        assert busway("status", "--url", server.url, cwd=folder / "elsewhere", **more).code == 0


def test_one_that_others_could_read_is_closed_and_told(folder: Path) -> None:
    with unset(folder) as server:
        token = kept(folder)
    (folder / ".busway/api-token").chmod(0o644)
    with unset(folder) as server:
        assert asked(server, token) == 200
        assert kept(folder) == token
        (told,) = [one for one in server.told if "was readable by other users" in one["event"]]
        assert "remove the file" in told["fix"]


@pytest.mark.parametrize("content", ["", "\n", "short\n", "a" * 40, "\0" * 40])
def test_a_kept_one_that_is_no_good_is_refused(folder: Path, content: str) -> None:
    (folder / ".busway").mkdir()
    (folder / ".busway/api-token").write_text(content)
    ended = start(folder)
    assert ended.returncode == 1
    assert ".busway/api-token" in ended.stderr
    assert content.strip("\n") not in ended.stderr or not content.strip("\n")


def test_workers_make_none_of_their_own(folder: Path) -> None:
    with unset(folder, "--workers", "2") as server:
        assert asked(server, kept(folder)) == 200
        assert [path.name for path in (folder / ".busway").glob("api-token*")] == ["api-token"]


@pytest.mark.parametrize(
    "token", ["T0KEN", "T0KEN\n", "change-me", "a" * 40, "schlüssel-9f3kq7zxw2"]
)
def test_a_weak_one_is_refused_at_the_start_and_not_shown(folder: Path, token: str) -> None:
    ended = start(folder, BUSWAY_API_TOKEN=token)
    assert ended.returncode == 1
    assert "BUSWAY_API_TOKEN is too weak" in ended.stderr
    assert token.strip() not in ended.stdout + ended.stderr


@pytest.mark.parametrize("end", ["\n", "\r\n", " \t\n\n"])
def test_white_space_at_the_end_of_one_is_not_part_of_it(folder: Path, end: str) -> None:
    token = "4tKp9_wzQ-rB7xYd2mLs"
    more = alone(folder) | {"BUSWAY_API_TOKEN": token + end}
    with running("shop.py", cwd=folder, **more) as server:
        assert asked(server, token) == 200
        assert busway("status", "--url", server.url, cwd=folder, **more).code == 0


def test_an_open_api_is_told_of_and_only_on_loopback(folder: Path) -> None:
    with unset(folder, BUSWAY_API_OPEN="true") as server:
        assert asked(server, "") == 200
        (told,) = [one["event"] for one in server.told if "the API needs no token" in one["event"]]
        assert "every user of this machine" in told
        foreign = {"host": "evil.example", "authorization": ""}
        assert get(f"{server.url}/api/v1/status", headers=foreign).status_code == 403
        assert not (folder / ".busway/api-token").exists()
    for more in ({"BUSWAY_HOST": "0.0.0.0"}, {"BUSWAY_API_TOKEN": "4tKp9_wzQ-rB7xYd2mLs"}):
        ended = start(folder, BUSWAY_API_OPEN="true", **more)
        assert ended.returncode == 1
        assert "BUSWAY_API_OPEN" in ended.stderr


def start(folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Start a server that gives up."""
    return subprocess.run(
        [BUSWAY, "run", "shop.py", "--port", "0"],
        cwd=folder,
        env=environment(**alone(folder) | more),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
