"""What APIs answer, as they really do: the short texts in it, and nothing that they echo."""

from __future__ import annotations

import json

import pytest

from busway.error_message import MAX_CHARACTERS, error_messages, summarize_error

ANSWERS: list[tuple[object, list[str]]] = [
    (
        {
            "error": {
                "code": "card_declined",
                "decline_code": "insufficient_funds",
                "doc_url": "https://stripe.com/docs/error-codes/card-declined",
                "message": "Your card has insufficient funds.",
                "request_log_url": "https://dashboard.stripe.com/logs/req_abc",
                "type": "card_error",
            }
        },
        ["card_declined", "insufficient_funds", "card_error", "Your card has insufficient funds."],
    ),
    (
        {
            "message": "Validation Failed",
            "errors": [{"resource": "Issue", "field": "title", "code": "missing_field"}],
            "documentation_url": "https://docs.github.com/rest",
            "status": "422",
        },
        ["Validation Failed", "missing_field", "title"],
    ),
    (
        {"errors": {"title": ["can't be blank"], "line_items": ["must have one item"]}},
        ["title: can't be blank", "line_items: must have one item"],
    ),
    ({"errors": "Not Found"}, ["Not Found"]),
    ({"errors": ["Name is too short", "Age is none"]}, ["Name is too short", "Age is none"]),
    (
        [{"message": "Required", "errorCode": "REQUIRED_FIELD_MISSING", "fields": ["Name"]}],
        ["REQUIRED_FIELD_MISSING", "Required", "Name"],
    ),
    (
        {
            "status": "error",
            "message": 'not valid: [{"message":"Email is invalid","error":"INVALID_EMAIL"}]',
            "correlationId": "aeb5f871-7f07-4993-9211-075dc63e7cbf",
            "category": "VALIDATION_ERROR",
        },
        ["error", "VALIDATION_ERROR", "not valid: Email is invalid; INVALID_EMAIL"],
    ),
    (
        {
            "type": "https://example.com/probs/out-of-credit",
            "title": "You do not have enough credit.",
            "detail": "Your balance is 30.",
            "instance": "/account/12345/msgs/abc",
        },
        ["out-of-credit", "You do not have enough credit.", "Your balance is 30."],
    ),
    (
        {"detail": [{"type": "missing", "loc": ["body", "total"], "msg": "Field required"}]},
        ["missing", "Field required", "body.total"],
    ),
    ({"email": ["Enter a valid email address."]}, ["email: Enter a valid email address."]),
    (
        {"data": None, "errors": [{"message": "No.", "extensions": {"code": "FORBIDDEN"}}]},
        ["No.", "FORBIDDEN"],
    ),
    ({"error": "invalid_grant", "error_description": "Expired."}, ["invalid_grant", "Expired."]),
    ({"__type": "com.x#NotFound", "message": "No table"}, ["NotFound", "No table"]),
    (
        {"code": 21211, "message": "No phone number.", "status": 400},
        ["code=21211", "No phone number."],
    ),
    (
        {"details": [{"issue": "CAPTURED", "description": "Done."}], "debug_id": "kdjfhg"},
        ["CAPTURED", "Done."],
    ),
    (
        {"errors": [{"status": "422", "source": {"pointer": "/data/name"}, "title": "Bad"}]},
        ["Bad", "/data/name"],
    ),
    (
        {"Fault": {"Error": [{"Message": "Duplicate", "code": "6240"}], "type": "ValidationFault"}},
        ["ValidationFault", "code=6240", "Duplicate"],
    ),
    ({"meta": {"error_type": "OAuthException", "error_message": "No."}}, ["OAuthException", "No."]),
    ({"response": {"error": {"code": "x", "message": "No."}}}, ["x", "No."]),
    (
        {"error": "no", "order": {"title": "Dune", "message": "Hi Ann", "code": "abc"}},
        ["no"],
    ),
    ({"order": {"title": "Dune", "message": "Hi Ann"}}, []),
    ({"error": None, "message": "", "ok": False}, []),
]
MARKUP = [
    (
        "<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>No key &amp; more.</Message>"
        "<RequestId>4442587FB7D0A2F9</RequestId><HostId>Uuag1LuByRx</HostId></Error>",
        ["NoSuchKey", "No key & more."],
    ),
    (
        '<soap:Envelope xmlns:soap="http://x"><soap:Body><soap:Fault><faultcode>soap:Client'
        "</faultcode><faultstring><![CDATA[Order is closed]]></faultstring></soap:Fault>",
        ["soap:Client", "Order is closed"],
    ),
    (
        "<html> <head><title>502 Bad Gateway</title></head> <body><center><h1>502 Bad Gateway</h1>",
        ["502 Bad Gateway"],
    ),
    ("<!DOCTYPE html><style>a{b:c}</style><p>Try <b>later</b></p>", ["Try later"]),
]


@pytest.mark.parametrize(("body", "texts"), ANSWERS)
def test_an_answer_says_its_short_texts(body: object, texts: list[str]) -> None:
    assert error_messages(json.dumps(body)) == texts
    assert error_messages(json.dumps(body, indent=2)) == texts


@pytest.mark.parametrize(("body", "texts"), MARKUP)
def test_xml_and_html_say_theirs(body: str, texts: list[str]) -> None:
    assert error_messages(body) == texts


def test_an_answer_may_be_cut_off_anywhere() -> None:
    whole = '{"error": {"code": "card_declined", "message": "no \\"funds\\" \\u00e9"}, "id": [1, 2'
    assert error_messages(whole) == ["card_declined", 'no "funds" é']
    for end in range(len(whole)):
        assert len(error_messages(whole[:end])) <= 2


def test_what_is_no_answer_stays_as_it_is() -> None:
    for text in ("", "no order 17", "[]", "{}", "a {b: c}", "{'total': 5}", "x < y > z"):
        assert summarize_error(text) == text


@pytest.mark.parametrize("text", ["[" * 50_000, '{"a":' * 50_000, "<a " * 50_000, "['" * 50_000])
def test_odd_texts_are_looked_at_within_bounds(text: str) -> None:
    assert len(summarize_error(text)) <= max(len(text), MAX_CHARACTERS)
