"""Every operator on both sides of its edge, and every way to write it wrong."""

from __future__ import annotations

import pytest

from busway.errors import PatternError
from busway.rule.operator import parse_clause

YES_AND_NO: list[tuple[object, list[object], list[object]]] = [
    ("eu", ["eu"], ["EU", "eu ", "", None, 1]),
    ("", [""], [" ", None, 0, False]),
    (300, [300, 300.0, 3.0e2], ["300", 301, True, None]),
    (1, [1, 1.0], [True, "1"]),
    (0, [0, -0.0], [False, None, ""]),
    (True, [True], [1, "true", False]),
    (False, [False], [0, None]),
    (None, [None], ["", 0, False, "null"]),
    ({"exactly": "eu"}, ["eu"], ["e", None]),
    ({"prefix": "eu-"}, ["eu-", "eu-west"], ["EU-", "e", None, 1]),
    ({"prefix": ""}, ["", "x"], [None, 0]),
    ({"suffix": ".png"}, [".png", "a.png"], [".PNG", "png", None]),
    ({"suffix": ""}, ["", "x"], [None]),
    ({"prefix": {"equals-ignore-case": "Eu-"}}, ["EU-1", "eu-"], ["xeu-", "e", None]),
    ({"suffix": {"equals-ignore-case": ".pNg"}}, ["a.PNG", ".png"], [".pngx", None]),
    ({"equals-ignore-case": "Abc"}, ["aBC", "abc"], ["abcd", "ab", None]),
    ({"equals-ignore-case": "straße"}, ["STRASSE", "StraßE"], ["strasse"]),
    ({"equals-ignore-case": "k"}, ["K"], ["\N{KELVIN SIGN}"]),
    ({"equals-ignore-case": "a.c"}, ["A.C"], ["abc", "a.c\n"]),
    ({"wildcard": "*"}, ["", "x"], [None, 1]),
    ({"wildcard": "a*c"}, ["ac", "abc", "a\nc", "acbc"], ["abcd", "a", "c", None]),
    ({"wildcard": "aba*ba"}, ["ababa", "abaxba"], ["aba", "abaab"]),
    ({"wildcard": "*/a/*/b"}, ["x/a/y/b", "/a//b"], ["/a/b", "a/y/b"]),
    ({"wildcard": r"a\*b\\*"}, ["a*b\\", "a*b\\c"], ["axb\\", "a*b"]),
    ({"wildcard": ""}, [""], ["x"]),
    ({"anything-but": "a"}, ["b", "A", None, 1, True, ""], ["a"]),
    ({"anything-but": ["a", "b"]}, ["c", None, 1], ["a", "b"]),
    ({"anything-but": 5}, [6, "5", None, True], [5, 5.0]),
    ({"anything-but": [1, 2]}, [3, "1", True], [1, 2.0]),
    ({"anything-but": {"prefix": "a"}}, ["b", "", 1, None], ["a", "ab"]),
    ({"anything-but": {"prefix": ["a", "b"]}}, ["c", None], ["ax", "bx"]),
    ({"anything-but": {"suffix": [".a", ".b"]}}, [".c", 1], ["x.a", ".b"]),
    ({"anything-but": {"equals-ignore-case": ["A", "b"]}}, ["c", None], ["a", "B"]),
    ({"anything-but": {"wildcard": ["*/x/*"]}}, ["x", 1, None], ["a/x/b"]),
    ({"numeric": ["=", 3.0e2]}, [300, 300.0], ["300", 301, None, True]),
    ({"numeric": ["<", 0]}, [-1, -0.5], [0, 1, "-1", False]),
    ({"numeric": ["<=", 1]}, [1, 0], [1.000001, True]),
    ({"numeric": [">", 0.1]}, [0.2, 10**15], [0.1, 0, 2**63]),
    ({"numeric": [">=", 5]}, [5, 5.0], [4.999999, None]),
    ({"numeric": [">", 0, "<=", 5]}, [5, 0.1], [0, 5.1, "3"]),
    ({"numeric": [">=", -5e9, "<", 5e9]}, [-5e9, 0], [5e9]),
    ({"cidr": "10.0.0.0/8"}, ["10.0.0.0", "10.255.255.255"], ["11.0.0.0", "10.0.0", None, 1]),
    ({"cidr": "10.0.0.77/24"}, ["10.0.0.1"], ["10.0.1.77", "::a00:1"]),
    ({"cidr": "0.0.0.0/0"}, ["1.2.3.4", "::ffff:102:304"], ["::1", "x", ""]),
    ({"cidr": "2001:db8::/32"}, ["2001:db8::1", "2001:DB8:f::"], ["2001:db9::", "10.0.0.1"]),
    ("10.0.0.1", ["10.0.0.1"], ["10.0.0.2", "10.0.0.01"]),
    ("::1", ["::1", "0:0:0:0:0:0:0:1"], ["::2"]),
    ({"exists": True}, ["", None, 0, False], []),
    ({"exists": False}, [], ["", None, 0]),
]


@pytest.mark.parametrize(("written", "accepted", "refused"), YES_AND_NO)
def test_an_operator_accepts_what_it_says_and_nothing_else(
    written: object, accepted: list[object], refused: list[object]
) -> None:
    read = parse_clause(written, "$")
    assert [value for value in accepted if not read.accepts(value)] == []
    assert [value for value in refused if read.accepts(value)] == []


WRONG: list[tuple[object, str, str]] = [
    ({}, "$.a[0]", "one key"),
    ({"prefix": "a", "suffix": "b"}, "$.a[0]", "one key"),
    ({"PREFIX": "a"}, "$.a[0]", "unknown operator 'PREFIX'"),
    (["a"], "$.a[0]", "a list inside a list"),
    (float("nan"), "$.a[0]", "finite"),
    (object(), "$.a[0]", "not a JSON value"),
    ({"prefix": 1}, "$.a[0].prefix", "expected a string, got a number"),
    ({"prefix": ["a"]}, "$.a[0].prefix", "expected a string, got a list"),
    ({"prefix": {"wildcard": "a"}}, "$.a[0].prefix", "'wildcard' cannot be inside"),
    ({"prefix": {"equals-ignore-case": 5}}, "$.a[0].prefix.equals-ignore-case", "a number"),
    ({"suffix": None}, "$.a[0].suffix", "expected a string, got null"),
    ({"suffix": {}}, "$.a[0].suffix", "one key"),
    ({"equals-ignore-case": ["a"]}, "$.a[0].equals-ignore-case", "a list"),
    ({"exactly": 33}, "$.a[0].exactly", "expected a string, got a number"),
    ({"wildcard": "a**b"}, "$.a[0].wildcard", "two consecutive wildcards at character 1"),
    ({"wildcard": r"a\b"}, "$.a[0].wildcard", "invalid escape"),
    ({"wildcard": "a\\"}, "$.a[0].wildcard", "invalid escape"),
    ({"wildcard": "*:*:*:*:*:event-bus/*"}, "$.a[0].wildcard", "too complex"),
    ({"anything-but": None}, "$.a[0].anything-but", "null where a string or a number"),
    ({"anything-but": True}, "$.a[0].anything-but", "true where"),
    ({"anything-but": []}, "$.a[0].anything-but", "not empty"),
    ({"anything-but": ["a", 1]}, "$.a[0].anything-but", "strings only or of numbers only"),
    ({"anything-but": {"prefix": ""}}, "$.a[0].anything-but.prefix", "an empty string"),
    ({"anything-but": {"suffix": ["a", ""]}}, "$.a[0].anything-but.suffix", "an empty string"),
    ({"anything-but": {"prefix": []}}, "$.a[0].anything-but.prefix", "an empty list"),
    (
        {"anything-but": {"wildcard": "a**"}},
        "$.a[0].anything-but.wildcard",
        "consecutive wildcards",
    ),
    ({"anything-but": {"numeric": ["=", 1]}}, "$.a[0].anything-but", "'numeric' cannot be"),
    ({"anything-but": {"prefix": {"equals-ignore-case": "a"}}}, "$.a[0].anything-but.prefix", "an"),
    ({"numeric": 5}, "$.a[0].numeric", "got a number"),
    ({"numeric": []}, "$.a[0].numeric", "the forms are"),
    ({"numeric": ["="]}, "$.a[0].numeric", "the forms are"),
    ({"numeric": ["==", 1]}, "$.a[0].numeric", "the forms are"),
    ({"numeric": ["=", "1"]}, "$.a[0].numeric[1]", "a string where a number"),
    ({"numeric": [">", True]}, "$.a[0].numeric[1]", "true where a number"),
    ({"numeric": [">", 0, "<"]}, "$.a[0].numeric", "the forms are"),
    ({"numeric": [">", 0, ">", 1]}, "$.a[0].numeric", "the forms are"),
    ({"numeric": ["<", 1, ">", 0]}, "$.a[0].numeric", "the lower bound first"),
    ({"numeric": [">", 1, "<", 1]}, "$.a[0].numeric", "nothing is between"),
    ({"numeric": [">", 0, "<", None]}, "$.a[0].numeric[3]", "null"),
    ({"cidr": "10.0.0.0"}, "$.a[0].cidr", "invalid prefix length '': use an integer from 0 to 31"),
    ({"cidr": "10.0.0.0/32"}, "$.a[0].cidr", "use an integer from 0 to 31"),
    ({"cidr": "::/128"}, "$.a[0].cidr", "use an integer from 0 to 127"),
    ({"cidr": "10.0.0.0/x"}, "$.a[0].cidr", "use an integer from 0 to 31"),
    ({"cidr": "10.0.0.0/-1"}, "$.a[0].cidr", "use an integer from 0 to 31"),
    ({"cidr": "host/8"}, "$.a[0].cidr", "invalid IP address"),
    ({"cidr": 8}, "$.a[0].cidr", "expected a string, got a number"),
    ({"exists": "true"}, "$.a[0].exists", "expected true or false, got a string"),
    ({"exists": 1}, "$.a[0].exists", "expected true or false, got a number"),
]


@pytest.mark.parametrize(("written", "place", "reason"), WRONG)
def test_a_wrong_operator_is_refused_with_its_place_and_reason(
    written: object, place: str, reason: str
) -> None:
    with pytest.raises(PatternError) as caught:
        parse_clause(written, "$.a[0]")
    assert caught.value.path == place
    assert reason in caught.value.reason
