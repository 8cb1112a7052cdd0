"""What a command imports: no more than it needs, so that it answers at once.

These are facts about imports; how long they take is measured by `make bench`.
"""

from __future__ import annotations

import subprocess
import sys

SERVER = {
    *("litestar", "apsw", "uvicorn", "aiohttp", "asyncpg", "nats", "uvloop", "watchfiles"),
    *("structlog", "prometheus_client", "busway.flow.compile"),
}
"""What a server needs and a command that asks one does not."""


def loaded_by(*words: str) -> set[str]:
    """Run a command in a process of its own and return the modules that it has imported."""
    script = (
        "import sys, contextlib\nfrom busway.cli.main import main\n"
        "with contextlib.suppress(SystemExit): main()\nprint(*sys.modules)"
    )
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_version_loads_no_more_than_the_command_line() -> None:
    """What takes long to import is imported by whoever needs it."""
    loaded = loaded_by("--version")
    heavy = {*SERVER, "httpx", "asyncio", "msgspec", "rich", "pydantic", "busway.settings"}
    assert loaded & heavy == set()
    assert {one for one in loaded if one.startswith("busway.cli.")} == {
        "busway.cli.lazy_group",
        "busway.cli.api_error",
        "busway.cli.main",
    }


def test_a_command_of_a_server_loads_quickly() -> None:
    """Neither the engine nor the API nor the sinks are loaded to ask a server."""
    loaded = loaded_by("status", "--url", "http://127.0.0.1:1")
    assert "busway.cli.client" in loaded
    assert loaded & SERVER == set()
