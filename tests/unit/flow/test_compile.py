"""All mistakes of a flows file are reported at once, each with its location and a fix."""

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
    7: "no sink; use one of busway.sinks",
    8: "invalid name: use a letter, then up to 63 letters, digits",
    9: "when: $.type",
    10: "not a JSON object; use an object",
    11: "invalid to of type str: not a sink; use one of busway.sinks",
    12: "invalid steps[0] of type str: use a function",
    13: "invalid steps of type builtin_function_or_method: use a list of functions",
    14: "retry: invalid value 5: use a Backoff(attempts=…), or a list of waits",
    15: "invalid start 'middle': use 'end', 'beginning' or a time",
    16: "NOT_SET_ANYWHERE is not set; set it, or add it to .env",
    18: "the flow at line 17 has the same name",
    26: "invalid timeout 0: use a duration > 0",
    31: "no name; decorate a function",
    32: "to: the name of the sink has 606 characters, at most 500 are allowed: jsonl xxx",
}


def mistakes_in(file: Path) -> dict[int, list[str]]:
    with pytest.raises(FlowError) as raised:
        compile_app(load_app(str(file)))
    found: dict[int, list[str]] = {}
    for line in str(raised.value).splitlines():
        match = re.fullmatch(rf"{re.escape(str(file))}:(\d+): flow .+?: (.+)", line)
        assert match, line
        found.setdefault(int(match[1]), []).append(match[2])
    return found


def test_all_mistakes_are_reported_with_line_and_fix(tmp_path: Path) -> None:
    file = tmp_path / "flows.py"
    file.write_text(MISTAKES)
    mistakes = mistakes_in(file)
    for line, text in WANTED.items():
        assert any(text in mistake for mistake in mistakes[line]), (line, text, mistakes.get(line))
    assert len(mistakes[21]) == 2, "both mistakes of one flow"
    assert mistakes.keys() == WANTED.keys() | {21}


def test_an_app_without_flows_is_a_mistake() -> None:
    with pytest.raises(FlowError, match="has no flows; declare one"):
        compile_app(App("empty"))


def test_declared_flows_are_compiled() -> None:
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
        ("\n1 / 0", r"flows.py:2: ZeroDivisionError: .*; correct it: a flows file must load"),
        ("\nimport sys; sys.exit(3)", r"flows.py:2: it exits the process \(SystemExit: 3\)"),
        ("x = 1", "no App; add app"),
        ("from busway import App\na, b = App('a'), App('b')", r"several Apps \(a, b\); select one"),
    ],
)
def test_a_file_without_an_app_is_an_error(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "flows.py").write_text(text)
    with pytest.raises(FlowError, match=reason):
        load_app(str(tmp_path / "flows.py"))


def test_a_missing_file_and_a_missing_app_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match="no such file"):
        load_app(str(tmp_path / "none.py"))
    (tmp_path / "flows.py").write_text("from busway import App\na, b = App('a'), App('b')")
    with pytest.raises(FlowError, match="no App named 'c'; there are: a, b"):
        load_app(f"{tmp_path / 'flows.py'}:c")
    assert load_app(f"{tmp_path / 'flows.py'}:b").name == "b"


def test_an_unset_variable_in_a_list_is_reported() -> None:
    app = App("t")
    app.flow(
        "hook",
        to=http("http://x.example/", sign=[env("NO_SUCH")], headers={"A": env("NOR_SUCH")}),
    )
    with pytest.raises(FlowError) as caught:
        compile_app(app)
    assert "to.sign: the environment variable NO_SUCH is not set; set it" in str(caught.value)
    assert "to.headers: the environment variable NOR_SUCH is not set; set it" in str(caught.value)
