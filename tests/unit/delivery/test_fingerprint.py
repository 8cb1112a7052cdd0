"""The root cause of a failure, from tracebacks and messages as they come."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path

import pytest

from busway import Event
from busway.delivery.fingerprint import (
    Fingerprinter,
    fingerprint,
    location_of,
    normalized_message,
    title,
)
from busway.failed_event import Failure
from busway.step.result import step_failure

AT = datetime(2030, 1, 1, tzinfo=UTC)
HEAD = "Traceback (most recent call last):\n"
OWN = '  File "/srv/shop/flows.py", line 12, in orders\n    check(event)\n'
LIBRARY = '  File "/srv/.venv/lib/python3.11/site-packages/pay/api.py", line 3, in call\n    go()\n'
STANDARD = '  File "/usr/lib/python3.11/json/decoder.py", line 355, in raw_decode\n    go()\n'


def failure(traceback: str | None, reason: str = "no", error: str = "ValueError") -> Failure:
    return Failure(1, AT, "step", error, reason, traceback)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("invalid literal for int() with base 10: 'abc'", "invalid literal for int() with base …"),
        ("can't decode byte 0xff in position 3", "can't decode byte … in position …"),
        ("Expected `int`, got `str` - at `$.total`",) * 2,
        ('{"ids":[1,[2]],"ok":true}', "…"),
        ('{"error":"x","ids":[1,[2]],"ok":true}', "x"),
        ('{"code":1024,"message":"no customer 17"}', "code=1024; no customer …"),
        ("api: {'error': 'no_stock', 'at': datetime.date(2025, 1, 2)} of 7", "api: no_stock of …"),
        ("bad order {'title': 'Dune', 'detail': 'signed'}", "bad order …"),
        (
            "Client error '422 Unprocessable' for url 'x'",
            "Client error code=422 Unprocessable for url …",
        ),
        (
            'null value in column "total" of relation "orders"',
            "null value in column total of relation orders",
        ),
        (
            'invalid input syntax for type integer: "abc"',
            "invalid input syntax for type integer: …",
        ),
        (
            "request Uuag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7/C1NPcfTWAtRPfTaOFg== failed",
            "request … failed",
        ),
        ("no {'a': Decimal('1.5'), 'd': datetime.date(2025, 1, 2), 'x': None}", "no …"),
        ("late: Mon, 03 Feb 2025 10:00:00 GMT", "late: …"),
        ("late: 2025-02-03 10:00:00.5+02:00", "late: …"),
        ("mail bob@example.org, see https://x.y/z?q=1#a", "mail …, see …"),
        ("no 01890a5d-ac96-774b-bcce-b302099a8057 nor deadbeef", "no … nor …"),
        ("balance -5 < 1e-7", "balance … < …"),
        ("it's Bob's 'thing'", "it's Bob's …"),
        ("<Foo object at 0x7f12ab>", "<Foo object at …>"),
        ("Key (order_id)=(7) already exists.", "Key (order_id)=… already exists."),
        ("GET /orders/17/lines", "GET /orders/…/lines"),
        ("b'\\x00' is no text", "… is no text"),
        ("", ""),
    ],
)
def test_what_varies_is_left_out(message: str, said: str) -> None:
    assert normalized_message(message) == said


def test_a_long_message_may_be_cut_within_a_value() -> None:
    assert (
        normalized_message("no " + repr("x" * 5_000))
        == normalized_message("no " + repr("y" * 9_000))
        == "no …"
    )


def test_the_place_is_the_innermost_frame_of_the_users_code() -> None:
    for inner in ("", LIBRARY, STANDARD, LIBRARY + STANDARD):
        assert location_of(failure(HEAD + OWN + inner + "ValueError: no\n")) == "flows.py:orders"


def test_lines_that_move_and_another_library_version_are_the_same_cause() -> None:
    moved = OWN.replace("line 12", "line 90").replace("/srv/shop/", "/srv/release-7/")
    one, other = HEAD + OWN + LIBRARY, HEAD + moved + STANDARD
    assert fingerprint(failure(one)) == fingerprint(failure(other))


def test_without_own_code_it_is_where_it_ended_or_else_the_stage() -> None:
    assert location_of(failure(HEAD + LIBRARY + "ValueError: no\n")) == "api.py:call"
    assert location_of(failure(None)) == "step"
    assert location_of(failure("ValueError: no\n")) == "step"


def test_of_a_chain_the_last_counts_and_text_in_a_message_does_not() -> None:
    chain = (
        f"{HEAD}{OWN.replace('orders', 'first')}KeyError: 1\n\nThe above exception was the "
        f"direct cause of the following exception:\n\n{HEAD}{OWN}ValueError: no\n"
        f'{HEAD}  File "x.py", line 1, in fake\n'
    )
    assert location_of(failure(chain)) == "flows.py:orders"


def test_of_what_a_step_really_raised() -> None:
    def orders(value: object) -> None:
        if not value:
            raise LookupError(f"no customer {value!r}")

    found = []
    for value in (0, "", None):
        try:
            orders(value)
        except LookupError as error:
            made = step_failure(error)
            found.append(failure(made.traceback, made.reason, made.error))
    assert {location_of(one) for one in found} == {"test_fingerprint.py:orders"}
    assert fingerprint(found[0]) == fingerprint(found[1])


def raised(step: Callable[[], object]) -> Failure:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any
        step()
    made = step_failure(caught.value)
    return failure(made.traceback, made.reason, made.error)


def test_pythons_own_exceptions_keep_the_name_that_is_missing() -> None:
    event, data = Event(id="e", source="/s", type="t"), dict[str, object]()
    steps: dict[str, Callable[[], object]] = {
        "customer_id": lambda: data["customer_id"],
        "total": lambda: data["total"],
        "no attribute totl": lambda: event.totl,  # type: ignore[attr-defined]
        "NoneType": lambda: None.total,  # type: ignore[attr-defined]
        "name nowhere": lambda: nowhere,  # type: ignore[name-defined] # noqa: F821
        "No module named nothing": lambda: import_module("nothing"),
        "cannot import name": lambda: exec("from json import nothing"),
        "/no/such/rates.csv": lambda: Path("/no/such/rates.csv").read_text(),
        "keyword argument": lambda: sorted([], nope=1),  # type: ignore[call-overload]
    }
    titles = {name: title(raised(step)) for name, step in steps.items()}
    for name, text in titles.items():
        assert name in text
    assert len({fingerprint(raised(step)) for step in steps.values()}) == len(steps)
    one, other = (raised(partial(data.__getitem__, f"sku-{n}")) for n in (17, 4711))
    assert title(one) == title(other) == "KeyError in test_fingerprint.py:raised: …"


def test_four_errors_of_one_status_are_four_causes() -> None:
    texts = ("no_stock", "card_declined", "unknown customer", "closed")
    bodies = [
        (f'{{"error":"{text}","id":{n}}}', f'{{"id":{n + 1},"error":"{text}"}}')
        for n, text in enumerate(texts)
    ]
    for one, other in bodies:
        first, second = (failure(None, body, "http 422") for body in (one, other))
        assert fingerprint(first) == fingerprint(second)
        assert title(first).startswith("http 422 in step: ")
    assert len({fingerprint(failure(None, one, "http 422")) for one, _ in bodies}) == 4


def test_an_api_that_echoes_data_makes_no_group_of_each_event() -> None:
    causes, words = (
        Fingerprinter(max_messages=5),
        ["".join(word) for word in product("gklmnp", repeat=3)],
    )
    failures = [failure(None, f'{{"error":"no {one}"}}', "http 422") for one in words]
    groups = [causes.fingerprint_of("orders", one) for one in failures]
    assert len(set(groups)) == 6
    assert groups[:5] == [causes.fingerprint_of("orders", one) for one in failures[:5]], (
        "the first stay"
    )
    assert title(failures[-1], groups[-1]) == "http 422 in step: …"
    assert causes.fingerprint_of("others", failures[-1]) == fingerprint(failures[-1])
    assert title(failures[0], "made by an older version") == "http 422 in step: …"


def test_the_title_says_type_place_and_message() -> None:
    assert title(failure(HEAD + OWN, "no order 17")) == "ValueError in flows.py:orders: no order …"
    assert title(failure(None, "", "http 503")) == "http 503 in step"
    assert len(title(failure(None, "long " * 100))) == 200
