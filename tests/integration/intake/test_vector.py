"""The published CloudEvents-over-HTTP vectors, where they are at hand, and cases of our own."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from busway.attribute import CORE_ATTRIBUTES
from busway.event import Event
from intake_client import Desk, request

PUBLISHED = Path(__file__).parents[4] / "shared/data/vectors/cloudevents.json"
ATTRIBUTES = {
    "ce-specversion": "1.0",
    "ce-id": "1234-1234-1234",
    "ce-type": "com.example.someevent",
    "ce-source": "/mycontext/subcontext",
}


def _own(name: str, headers: dict[str, str], body: bytes, expected: Any) -> dict[str, Any]:
    packed = base64.b64encode(body).decode()
    return {"name": name, "headers": headers, "body_b64": packed, "expected": expected}


def _subject(name: str, sent: str, meant: str) -> dict[str, Any]:
    attributes = {key[3:]: value for key, value in ATTRIBUTES.items()} | {"subject": meant}
    expected = {"events": [{"attributes": attributes}]}
    return _own(name, ATTRIBUTES | {"ce-subject": sent}, b"", expected)


def _data(name: str, kind: str, body: bytes, data: dict[str, Any]) -> dict[str, Any]:
    attributes = {key[3:]: value for key, value in ATTRIBUTES.items()}
    attributes |= {"datacontenttype": kind} if kind else {}
    headers = ATTRIBUTES | ({"Content-Type": kind} if kind else {})
    return _own(name, headers, body, {"events": [{"attributes": attributes} | data]})


OURS = [
    _subject("percent-encoded", "Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
    _subject("decoded once", "%2541", "%41"),
    _subject("plus is plus", "a+b%2Bc", "a+b+c"),
    _subject("quoted", '"say \\"hi\\" \\\\ ok"', 'say "hi" \\ ok'),
    _subject("quoted, then percent-encoded", '"a%20b"', "a b"),
    _subject("not hexadecimal", "100%, %zz", "100%, %zz"),
    _subject("UTF-8 as it is", "caf\u00e9", "caf\u00e9"),
    _data("JSON", "application/json", b'{"x": 1}', {"data_json": {"x": 1}}),
    _data("JSON by suffix", "application/vnd.x+json;v=1", b"[1]", {"data_json": [1]}),
    _data("JSON null", "application/json", b"null", {"data_json": None}),
    _data("text", "text/plain", b'a"\n\xc3\xa9', {"data_text": 'a"\n\u00e9'}),
    _data("text that is not UTF-8", "text/plain", b"\xe9", {"data_b64": "6Q=="}),
    _data("other charset", "text/plain; charset=latin-1", b"a", {"data_b64": "YQ=="}),
    _data("XML", "application/xml", b"<a/>", {"data_text": "<a/>"}),
    _data("XML by suffix", "image/svg+xml", b"<a/>", {"data_text": "<a/>"}),
    _data("bytes", "application/octet-stream", b"\x00\xff", {"data_b64": "AP8="}),
    _data("no type", "", b"{}", {"data_b64": "e30="}),
    _data("no data", "application/json", b"", {}),
]


def _published() -> list[dict[str, Any]]:
    if not PUBLISHED.exists():
        return []
    cases: list[dict[str, Any]] = json.loads(PUBLISHED.read_text())["decode"]
    return cases


@pytest.mark.parametrize("case", OURS + _published(), ids=lambda case: str(case["name"]))
async def test_vector(desk: Desk, case: dict[str, Any]) -> None:
    coded = case.get("body_b64")
    body = base64.b64decode(coded) if coded is not None else case["body"].encode()
    skipped = ("content-length", "host")
    headers = [f"{k}: {v}" for k, v in case["headers"].items() if k.lower() not in skipped]
    answer = await desk.ask(request(body, "", *headers))
    if case["expected"] == "error":
        assert answer.status == 400, answer.body
        assert desk.intake.raws == []
        return
    expected = case["expected"]["events"]
    assert answer.status == 202, answer.body
    assert sum(answer.json.values()) == len(expected)
    for raw, wanted in zip(desk.intake.raws, expected, strict=False):
        _compare(Event.from_json(raw), wanted)


def _compare(event: Event, wanted: dict[str, Any]) -> None:
    members = json.loads(event.to_json())
    attributes = {k: v for k, v in members.items() if not k.startswith("data_") and k != "data"}
    attributes = {k: v for k, v in attributes.items() if v is not None}
    assert attributes == wanted["attributes"]
    assert set(event.extensions) >= set(wanted["attributes"]) - CORE_ATTRIBUTES
    if "data_b64" in wanted:
        assert event.data == base64.b64decode(wanted["data_b64"])
    elif "data_text" in wanted:
        assert event.data == wanted["data_text"]
    else:
        assert event.data == wanted.get("data_json")
