"""All mistakes of a flows file are told at once, each with its place and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from busway import App
from busway.errors import FlowError
from busway.flow import compile_app, load_app
from busway.settings import env
from busway.sinks import console, http, jsonl

MISTAKES = """
from busway import App, env
from busway.sinks import console, jsonl

app = App("wrong")
app.flow("typo", to=console(), orderd=True)
app.flow("sinkless")
app.flow("not a name", to=console())
app.flow("pattern", when={"type": "order"}, to=console())
app.flow("when", when=5, to=console())
app.flow("sink", to="out.jsonl")
app.flow("step", to=console(), steps=["text"])
app.flow("steps", to=console(), steps=len)
app.flow("retry", to=console(), retry=5)
app.flow("start", to=console(), start="middle")
app.flow("variable", to=jsonl(env("NOT_SET_ANYWHERE")))
app.flow("twice", to=console())
app.flow("twice", to=console())


@app.flow(to=console(), timeout="soon", concurrency=0)
def both(event):
    return None


@app.flow(to=console(), timeout=0)
def at_once(event):
    return None


app.flow(to=console())
app.flow("long", to=jsonl("x" * 600))
"""
WANTED = {
    6: "did you mean 'ordered'?",
    7: "it has no sink; give one of busway.sinks",
    8: "its name must begin with a letter",
    9: "when: $.type",
    10: "a pattern is a JSON object",
    11: "to is str, not a sink",
    12: "steps[0] is str; give a function",
    13: "steps must be a list of functions",
    14: "retry: it is 5; give a Backoff(attempts=…), or a list of waits",
    15: "start is 'middle'; give 'end', 'beginning' or a time",
    16: "NOT_SET_ANYWHERE is not set; set it, or put it into .env",
    18: "the flow at line 17 has this name too",
    26: "timeout is 0; give a longer one",
    31: "it has no name; decorate a function",
    32: "to: its name is 606 characters long, and the ledger keeps at most 500: jsonl xxx",
}


def told(file: Path) -> dict[int, list[str]]:
    with pytest.raises(FlowError) as raised:
        compile_app(load_app(str(file)))
    found: dict[int, list[str]] = {}
    for line in str(raised.value).splitlines():
        match = re.fullmatch(rf"{re.escape(str(file))}:(\d+): flow .+?: (.+)", line)
        assert match, line
        found.setdefault(int(match[1]), []).append(match[2])
    return found


def test_every_mistake_is_told_with_its_line_and_a_fix(tmp_path: Path) -> None:
    file = tmp_path / "flows.py"
    file.write_text(MISTAKES)
    found = told(file)
    for line, text in WANTED.items():
        assert any(text in one for one in found[line]), (line, text, found.get(line))
    assert len(found[21]) == 2, "both mistakes of one flow"
    assert found.keys() == WANTED.keys() | {21}


def test_an_app_without_flows_is_a_mistake() -> None:
    with pytest.raises(FlowError, match="it has no flows; declare one"):
        compile_app(App("empty"))


def test_what_is_declared_is_what_runs() -> None:
    app = App("right")

    def first(event: object) -> None: ...

    @app.flow(when={"type": ["a"]}, to=jsonl("o"), steps=[first], timeout="2s", ordered=True)
    def second(event: object) -> None: ...

    app.flow("third", to=console(), start="beginning")
    one, two = compile_app(app).flows
    assert [step.function for step in one.steps] == [first, second]
    assert (one.name, one.ordered, one.steps[1].timeout_s, one.start) == ("second", True, 2, "end")
    assert (two.name, two.steps, two.start) == ("third", (), "beginning")
    assert two.pattern.matches({"type": "anything"})
    assert not two.pattern.matches({"type": "busway.alert.raised"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = (", r"flows.py:1: "),
        ("\n1 / 0", r"flows.py:2: ZeroDivisionError: .*; a flows file must load"),
        ("\nimport sys; sys.exit(3)", r"flows.py:2: it ends the process \(SystemExit: 3\)"),
        ("x = 1", "it has no App; add app"),
        ("from busway import App\na, b = App('a'), App('b')", r"several Apps \(a, b\); name one"),
    ],
)
def test_a_file_that_gives_no_app_says_why(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "flows.py").write_text(text)
    with pytest.raises(FlowError, match=reason):
        load_app(str(tmp_path / "flows.py"))


def test_a_missing_file_and_a_missing_name_say_so(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match="there is no such file"):
        load_app(str(tmp_path / "none.py"))
    (tmp_path / "flows.py").write_text("from busway import App\na, b = App('a'), App('b')")
    with pytest.raises(FlowError, match="it has no App called 'c'; there are: a, b"):
        load_app(f"{tmp_path / 'flows.py'}:c")
    assert load_app(f"{tmp_path / 'flows.py'}:b").name == "b"


def test_a_variable_within_a_list_is_missed_too() -> None:
    app = App("t")
    app.flow(
        "hook",
        to=http("http://x.example/", sign=[env("NO_SUCH")], headers={"A": env("NOR_SUCH")}),
    )
    with pytest.raises(FlowError) as caught:
        compile_app(app)
    assert "to.sign: the environment variable NO_SUCH is not set; set it" in str(caught.value)
    assert "to.headers: the environment variable NOR_SUCH is not set; set it" in str(caught.value)
