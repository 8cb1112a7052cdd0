"""Wherever a name is asked for, a misspelt one is answered with the one that was meant."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from command import Server, busway, running
from proof import PROOF

FLOWS = """
from busway import App
from busway.alerts import dead_letters
from busway.sinks import jsonl

app = App("shop")
app.flow("orders", to=jsonl("out.jsonl"))
app.alert("too_many_dead", dead_letters())
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("spelling")
    (folder / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=folder) as found:
        yield found


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("flows show ordres", 1, "there is no flow 'ordres'; did you mean 'orders'?"),
        ("pause ordres", 1, "did you mean 'orders'?"),
        ("throttle ordres --rate 5/s", 1, "did you mean 'orders'?"),
        ("window add ordres '0 2 * * *' 2h", 1, "did you mean 'orders'?"),
        ("pause --destination 'jsonl out.json'", 1, "did you mean 'jsonl out.jsonl'?"),
        ("replay start ordres", 1, "did you mean 'orders'?"),
        ("tail --flow ordres", 1, "did you mean 'orders'?"),
        ("dead list --flow ordres", 1, "did you mean 'orders'?"),
        ("dead groups --flow ordres", 1, "did you mean 'orders'?"),
        ("dead redrive --flow ordres", 1, "did you mean 'orders'?"),
        ("dead discard --flow ordres --reason x", 1, "did you mean 'orders'?"),
        ("flows remove ordres", 1, "did you mean 'orders'?"),
        ("flows show zzz", 1, "there is no flow 'zzz'; there is: orders"),
        ("stauts", 2, "Did you mean 'status'?"),
        ("dead lst", 2, "Did you mean 'list'?"),
        ("status --jsno", 2, "--json"),
        ("run shpo.py", 1, "shpo.py: no such file; did you mean shop.py?"),
        ("run shop.py:ap", 1, "no App named 'ap'; did you mean 'app'?"),
        (
            "run shop.py --engine postgre://x/y",
            1,
            "there is no engine 'postgre'; did you mean 'post",
        ),
    ],
)
def test_a_command_says_what_was_meant(server: Server, command: str, code: int, says: str) -> None:
    ended = busway(*shlex.split(command), cwd=server.cwd)
    assert ended.code == code, ended
    assert says in ended.err


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/flows/ordres", 404, "did you mean 'orders'?"),
        ("/alerts/to_many_dead", 404, "did you mean 'too_many_dead'?"),
        ("/flws", 404, "did you mean /api/v1/flows?"),
        ("/flows?limt=1", 400, "did you mean 'limit'?"),
    ],
)
def test_a_problem_document_says_what_was_meant(
    server: Server, path: str, status: int, says: str
) -> None:
    answer = httpx.get(f"{server.url}/api/v1{path}", headers=PROOF, timeout=60)
    assert answer.status_code == status
    assert says in answer.json()["detail"]


def test_a_field_of_a_body_is_told_too(server: Server) -> None:
    url = f"{server.url}/api/v1/flows/orders/pause"
    answer = httpx.post(url, json={"reson": "x"}, headers=PROOF, timeout=60)
    assert answer.status_code == 400
    assert "did you mean 'reason'?" in answer.json()["detail"]


def test_a_variable_that_is_no_setting_is_a_warning(server: Server, tmp_path: Path) -> None:
    ended = busway("status", cwd=server.cwd, BUSWAY_ULR="x")
    assert ended.code == 0
    assert "warning: BUSWAY_ULR is not a setting of Busway; did you mean BUSWAY_URL?" in ended.err
    flows = FLOWS.replace("app.flow(", "app.flow(when={'typ': ['a']}, name=")
    (tmp_path / "shop.py").write_text(flows)
    with running("shop.py", cwd=tmp_path, BUSWAY_PROT="1") as other:
        assert "did you mean BUSWAY_PORT?" in other.log
        assert "did you mean 'type'?" in other.log
