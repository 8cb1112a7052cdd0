"""The index says of every event what the patterns say one by one."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from busway.rule import Pattern, PatternError, RuleIndex
from effort import examples

WORDS = ["", "K", "a", "ab", "A", "aB", "b", "ba", "aba", "ß", "10.0.0.1", "10.0.1.2", "::1", "a.b"]
NUMBERS = [0, 1, -1, 1.5, 2, 2.0, 300, 1e300, 2**53 + 1, 2**63, 10**30]
NAMES = ["type", "detail-type", "data", "detail", "source", "x", "y", "a.b", "data.x", "ü", "q/r"]

words = st.sampled_from(WORDS)
numbers = st.sampled_from(NUMBERS)
names = st.sampled_from(NAMES)
scalars = st.one_of(words, numbers, st.sampled_from([None, True, False]))
words_or_list = st.one_of(words, st.lists(words, min_size=1, max_size=2))


def one(operator: str, operands: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return operands.map(lambda operand: {operator: operand})


ignoring_case = one("equals-ignore-case", words)
wildcards = one("wildcard", st.sampled_from(["*", "a*", "*a", "*b*", "a*b", "*a*b*", "b", "*.0.*"]))
ranges = st.one_of(
    st.tuples(st.sampled_from(["<", "<=", ">", ">=", "="]), numbers).map(list),
    st.tuples(st.sampled_from([">", ">="]), numbers, st.sampled_from(["<", "<="]), numbers).map(
        list
    ),
)
clauses = st.one_of(
    scalars,
    scalars,
    one("prefix", words | ignoring_case),
    one("suffix", words | ignoring_case),
    ignoring_case,
    wildcards,
    one("numeric", ranges),
    one("cidr", st.sampled_from(["10.0.0.0/24", "10.0.0.0/8", "::/64", "0.0.0.0/0"])),
    one("exists", st.booleans()),
    one(
        "anything-but",
        st.one_of(
            words_or_list,
            numbers,
            st.lists(numbers, min_size=1, max_size=2),
            one("prefix", words_or_list),
            one("suffix", words_or_list),
            one("equals-ignore-case", words_or_list),
            wildcards,
        ),
    ),
)
leaves = st.lists(clauses, min_size=1, max_size=3)
bodies = st.recursive(
    st.dictionaries(names, leaves, min_size=1, max_size=2),
    lambda inner: st.one_of(
        st.dictionaries(names, st.one_of(leaves, inner), min_size=1, max_size=2),
        st.tuples(st.lists(inner, min_size=2, max_size=3), names, leaves).map(
            lambda parts: {parts[1]: parts[2], "$or": parts[0]}
        ),
    ),
    max_leaves=4,
)


def parsed(sources: list[dict[str, Any]]) -> list[Pattern]:
    found = []
    for source in sources:
        try:
            found.append(Pattern.parse(source))
        except PatternError:
            continue
    return found


patterns = st.lists(bodies, min_size=1, max_size=8).map(parsed)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=6,
)
events = st.fixed_dictionaries(
    {}, optional={"specversion": st.just("1.0"), **dict.fromkeys(NAMES, values)}
)


EVERY_VALUE = [*WORDS, *NUMBERS, None, True, False, "aBa", "\N{KELVIN SIGN}", "k", -0.5, 2**54]


def expected(rules: list[Pattern], raws: list[bytes]) -> list[tuple[int, ...]]:
    events = [msgspec.json.decode(raw) for raw in raws]
    return [tuple(n for n, rule in enumerate(rules) if rule.matches(event)) for event in events]


@settings(max_examples=examples(150))
@given(st.lists(leaves, min_size=1, max_size=4), st.lists(scalars, max_size=3))
def test_a_table_says_of_every_value_what_the_leaves_say(
    lists: list[list[Any]], several: list[Any]
) -> None:
    rules = parsed([{"data": {"x": leaf}} for leaf in lists])
    held = [{"x": value} for value in (*EVERY_VALUE, several, [several], {"z": 1})]
    raws = [msgspec.json.encode({"specversion": "1.0", "data": data}) for data in (*held, {}, 1)]
    assert RuleIndex(rules).match_batch(raws) == expected(rules, raws)


two_forms = st.sampled_from(["type", "detail-type", "data", "detail"])


@settings(max_examples=examples(100))
@given(
    st.lists(st.dictionaries(two_forms, st.just([1]) | st.just([2]), min_size=1), min_size=1),
    st.lists(st.dictionaries(two_forms, st.just(1) | st.just([1, 2])), min_size=1),
)
def test_the_index_takes_both_forms_of_names_for_what_they_are(
    sources: list[dict[str, Any]], happened: list[dict[str, Any]]
) -> None:
    rules = parsed(sources)
    both = [event | version for event in happened for version in ({}, {"specversion": "1.0"})]
    raws = [msgspec.json.encode(event) for event in both]
    assert RuleIndex(rules).match_batch(raws) == expected(rules, raws)


items = st.lists(
    st.fixed_dictionaries({}, optional={"x": st.just(1) | st.just(2), "y": st.just(1)})
)
item_leaf = st.sampled_from([[1], [2], [{"exists": False}], [1, {"exists": False}]])


@settings(max_examples=examples(100))
@given(
    st.lists(st.dictionaries(st.sampled_from(["x", "y"]), item_leaf, min_size=1), min_size=1),
    items,
)
def test_the_index_keeps_to_one_element_of_an_array(
    sources: list[dict[str, Any]], elements: list[dict[str, Any]]
) -> None:
    rules = parsed([{"data": source, "type": [1, 2]} for source in sources])
    raws = [msgspec.json.encode({"specversion": "1.0", "type": 1, "data": elements})]
    assert RuleIndex(rules).match_batch(raws) == expected(rules, raws)


@settings(max_examples=examples(100))
@given(patterns, st.lists(events, min_size=1, max_size=4), st.booleans())
@example([Pattern.parse({"data": {"x": [1], "y": [2]}})], [{"data": [{"x": 1}, {"y": 2}]}], False)
@example([Pattern.parse({"data": {"x": [1]}})], [{"specversion": "1.0", "data.x": 1}], True)
@example([Pattern.parse({"data": {"x": [1]}})], [{"specversion": "1.0", "data.x": 1}], False)
@example([Pattern.parse({"x": [1, {"exists": False}]})], [{"x": [{}]}, {"x": [True]}], False)
def test_the_index_is_the_patterns_one_by_one(
    rules: list[Pattern], happened: list[dict[str, Any]], escaped: bool
) -> None:
    raws = [spelled(event, escaped) for event in happened]
    assert RuleIndex(rules).match_batch(raws) == expected(rules, raws)


def spelled(event: dict[str, Any], escaped: bool) -> bytes:
    """The event's JSON; if ``escaped``, with dots and letters a written as escapes."""
    raw = msgspec.json.encode(event)
    if not escaped:
        return raw
    return raw.replace(b"a.", b"a\\u002e").replace(b"ta", b"t\\u0061")
