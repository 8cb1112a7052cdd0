"""Which events are plain, which are trusted from a look at their bytes, which are too deep."""

from __future__ import annotations

import pytest

from busway.source.validate import (
    DECODE_ERRORS,
    MAX_DEPTH,
    IncomingEnvelope,
    decode_strict,
    is_safe_json,
    is_too_deep,
    validate_extended,
    validate_fully,
)
from intake_client import event

PLAIN = b'{"specversion":"1.0","id":"1","source":"/a","type":"t"%s}'


@pytest.mark.parametrize(
    "text",
    [b"1e99", b"1e-999", b"5e+30", b'"0e1234"', b'"a-1e1234-b"', b"9" * 199, b'"\xc3\xa9"'],
)
def test_ordinary_bytes_are_trusted(text: bytes) -> None:
    assert is_safe_json(b"[" + text + b"]")


@pytest.mark.parametrize(
    "text",
    [
        rb'"\u0000"',
        b"1e999",
        b"1E+400",
        b"-0.5e0300",
        b"7" * 400,
        b"1" * 250 + b"e90",
        b'"\xff"',
        b"2e308\n",
    ],
)
def test_bytes_that_have_to_be_decoded_are_not_trusted(text: bytes) -> None:
    assert not is_safe_json(b'["1e777", ' + text + b"]")


@pytest.mark.parametrize(
    "members",
    [b"", b',"time":"2026-01-02T03:04:05Z"', b',"subject":null', b',"data":[1]'],
)
def test_plain_events_are_read_at_once(members: bytes) -> None:
    assert decode_strict(PLAIN % members).id == "1"


@pytest.mark.parametrize(
    "members",
    [b',"x":"y"', b',"data_base64":"AA=="', b',"datacontenttype":"a/b"', b',"subject":""'],
)
def test_other_events_are_not_plain(members: bytes) -> None:
    with pytest.raises(DECODE_ERRORS):
        decode_strict(PLAIN % members)


@pytest.mark.parametrize("members", [b',"x":"y","z9":true', b',"n":-4,"m":123456789'])
def test_simple_extensions_need_no_second_look(members: bytes) -> None:
    assert isinstance(validate_extended(PLAIN % members), IncomingEnvelope)


@pytest.mark.parametrize("members", [b',"n":2147483647', b',"x":null', b',"data_base64":"AA=="'])
def test_other_good_members_get_one(members: bytes) -> None:
    found = validate_extended(PLAIN % members)
    assert not isinstance(found, str | IncomingEnvelope)
    assert (found.id, found.source, found.subject) == ("1", "/a", None)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (b',"n":2147483648', "32-bit"),
        (b',"n":1.5', "n is 1.5"),
        (b',"X":"y"', "'X' must have only lower-case"),
        (b',"x":[]', "x is []"),
        (b',"traceparent":4', "traceparent is 4"),
        (b',"data_base64":"A"', "cannot decode"),
    ],
)
def test_bad_member_is_refused_with_its_reason(members: bytes, reason: str) -> None:
    found = validate_extended(PLAIN % members)
    assert isinstance(found, str)
    assert reason in found
    assert validate_fully(PLAIN % members) == found


@pytest.mark.parametrize("value", [b"[]", b"3", b"1.5", b'"x"', b"null", b"true"])
def test_non_object_is_refused(value: bytes) -> None:
    assert "a CloudEvent is a JSON object" in str(validate_fully(value))


def test_depth_counts_what_is_open_at_a_time_and_not_what_is_in_strings() -> None:
    wide = b"[" + b",".join([b"[[]]"] * 1000) + b"]"
    quoted = b'["' + b"[" * 1000 + b'\\"]"]'
    assert not is_too_deep(wide)
    assert not is_too_deep(quoted)
    assert not is_too_deep(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b" " * MAX_DEPTH)
    assert is_too_deep(b'[{"a":' * MAX_DEPTH + b"1" + b"}]" * MAX_DEPTH)
    assert "nested deeper" in str(validate_fully(event(1).replace(b'{"n": 1}', b"[" * 999)))


@pytest.mark.parametrize(
    "text",
    [
        b'"' + b"[{" * 500_000 + b'"',
        b"[" * 200 + b'"' + b'\\"[' * 300_000,
        b'["' + b'\\"[' * 300_000 + b'"]',
        b'"' + b"\\\\" * 500_000 + b"[" * 300 + b'"',
        b"[]" * 400_000,
    ],
    ids=["brackets in a string", "an open string", "escaped quotes", "backslashes", "side by side"],
)
def test_depth_check_takes_linear_time(text: bytes) -> None:
    assert not is_too_deep(text)
    assert is_too_deep(b"[" * (MAX_DEPTH + 1) + text)


def test_many_slow_numbers_are_refused() -> None:
    few, many = b",".join([b"1e300"] * 900), b",".join([b"1e300"] * 1_100)
    assert not isinstance(validate_fully(PLAIN % (b',"data":[' + few + b"]")), str)
    assert "1e300" in str(validate_fully(PLAIN % (b',"data":[' + many + b"]")))
    assert not is_safe_json(b"[" + b",".join([b"1e23"] * 1_100) + b"]")
    assert "1e30" in str(
        validate_fully(PLAIN % (b',"data":[' + b",".join([b"1e23"] * 20_100) + b"]"))
    )


def test_number_of_reported_reasons_is_limited() -> None:
    names = b"".join(b',"N%d":1' % n for n in range(10_000))
    assert len(str(validate_fully(PLAIN % names))) < 10_000
