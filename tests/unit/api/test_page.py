"""Cursors of pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.control.page import PageRequest, cursor_of, page_after, page_of, place_in
from busway.errors import BuswayError

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
KEYS = st.tuples(NAMES, st.integers(0, 2**53), st.integers(0, 2**48))


@given(KEYS)
def test_a_cursor_holds_its_key(key: tuple[str, int, int]) -> None:
    assert place_in(cursor_of(key), tuple[str, int, int]) == key


@given(KEYS)
def test_a_cursor_can_be_part_of_a_query(key: tuple[str, int, int]) -> None:
    assert set(cursor_of(key)) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
    )


@given(st.text())
def test_what_is_no_cursor_is_told(text: str) -> None:
    with pytest.raises(BuswayError, match="take `next`"):
        place_in(text, tuple[str, int, int])


def test_a_cursor_of_another_list_is_told() -> None:
    with pytest.raises(BuswayError, match="not one of this list"):
        place_in(cursor_of(("orders", 1)), int)


@given(st.lists(st.integers(), unique=True), st.integers(1, 5))
def test_pages_give_every_item_once_and_in_order(items: list[int], limit: int) -> None:
    found: list[int] = []
    after = -1
    while True:
        page = page_of(
            list(enumerate(items))[after + 1 : after + 2 + limit], limit, lambda one: one[0]
        )
        assert len(page.items) <= limit
        found += [value for _, value in page.items]
        if page.next is None:
            break
        after = place_in(page.next, int)
    assert found == items


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_a_number_that_no_store_holds_is_told(number: int) -> None:
    with pytest.raises(BuswayError, match="not one of this list"):
        place_in(cursor_of(("orders", 0, number)), tuple[str, int, int])


@pytest.mark.parametrize("cursor", [None, ""])
def test_without_a_cursor_it_is_the_first_page(cursor: str | None) -> None:
    request = PageRequest(limit=2, cursor=cursor)
    assert page_after([1, 2, 3], request, lambda one: one, int).items == [1, 2]
