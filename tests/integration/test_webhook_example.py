"""The example of webhooks works as its README says."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path

from command import Server, running, select, until
from document import ROOT, blocks
from service import not_installed

EXAMPLE = ROOT / "examples" / "webhook"


def curls() -> list[str]:
    """Return the commands of the README that send something."""
    (text,) = (b.text for b in blocks(EXAMPLE / "README.md", "sh") if b.text.startswith("curl"))
    return text.replace("\\\n", " ").strip().splitlines()


def sent(command: str, server: Server) -> dict[str, object]:
    address = f"127.0.0.1:{server.url.rpartition(':')[2].partition('/')[0]}"
    arguments = shlex.split(command.replace("localhost:8400", address))
    ended = subprocess.run(
        [*arguments, "--silent", "--noproxy", "*"],
        cwd=EXAMPLE,
        capture_output=True,
        check=True,
        timeout=60,
    )
    answer: dict[str, object] = json.loads(ended.stdout)
    return answer


def test_every_command_of_the_readme_lands_an_event(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        not_installed("curl is not installed")
    database, pushes, contacts = (tmp_path / n for n in ("shop.db", "pushes.jsonl", "c.jsonl"))
    files = {"SHOP_DB": str(database), "PUSHES": str(pushes), "CONTACTS": str(contacts)}
    with running(str(EXAMPLE / "webhooks.py"), cwd=tmp_path, **files) as server:
        commands = curls()
        assert [sent(one, server) for one in commands] == [{"accepted": 1, "duplicates": 0}] * 4
        assert sent(commands[0], server) == {"accepted": 0, "duplicates": 1}
        until(lambda: contacts.exists() and pushes.exists(), "both files are there")
        until(lambda: len(select(database, "SELECT * FROM orders")) == 2, "both orders are there")
    row = select(database, "SELECT customer, total FROM orders WHERE order_id = 'A-4711'")
    assert row == [("C-17", 129.9)]
    assert json.loads(contacts.read_text())["campaign"] == "spring"
    assert json.loads(pushes.read_text())["subject"] == "ann/shop"
