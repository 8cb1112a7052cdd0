"""What a producer sends never steers the terminal of who looks, whatever the command."""

from __future__ import annotations

from pathlib import Path

from command import busway, running, until

FLOWS = """
from busway import App, Reject
from busway.sinks import console, jsonl

app = App("shop")
app.flow("seen", to=console())

@app.flow(to=jsonl("out.jsonl"))
def failing(event):
    raise Reject(f"no {event.data}")
"""
NASTY = "\x1b[2J\x1b]0;owned\x07\r\n\x9b31m\x7f\u202e\u200b[red]forged[/red]"
COMMANDS = (
    ["events"],
    ["events", "--json"],
    ["event", NASTY],
    ["event", NASTY, "--json"],
    ["tail", "--from", "beginning", "-n", "1"],
    ["tail", "--from", "beginning", "-n", "1", "--json"],
    ["dead"],
    ["dead", "list"],
    ["dead", "list", "--json"],
    ["dead", "groups"],
    ["dead", "show", "failing/0/0"],
    ["dead", "show", "failing/0/0", "--json"],
    ["status"],
    ["status", "--json"],
    ["flows", "show", "failing"],
    ["audit"],
    ["audit", "--json"],
    ["pause", NASTY],
    ["events", "--where", NASTY],
)


def test_no_command_prints_what_steers_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text(FLOWS)
    event = dict.fromkeys(("id", "source", "type", "subject"), NASTY)
    with running(
        "flows.py", cwd=tmp_path, BUSWAY_PARTITIONS="1", BUSWAY_LOG_FORMAT="text"
    ) as server:
        server.post(event | {"data": {NASTY: NASTY}})
        until(lambda: busway("dead", "show", "failing/0/0", cwd=tmp_path).code == 0, "it is dead")
        busway("pause", "seen", "--reason", NASTY, cwd=tmp_path)
        for arguments in COMMANDS:
            done = busway(*arguments, cwd=tmp_path)
            for line in (done.out + done.err).split("\n"):
                assert line.isprintable(), (arguments, line)
            shown = done.out + done.err
            assert "[red]" in shown or "forged" not in shown, (arguments, shown)
            if "--json" in arguments and "tail" not in arguments:
                assert isinstance(done.json(), dict)
        log = server.log
    assert all(line.isprintable() for line in log.split("\n")), log
