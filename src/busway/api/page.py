"""The query parameters of a list."""

from __future__ import annotations

from typing import Annotated

from litestar.params import QueryParameter

Limit = Annotated[
    int, QueryParameter(ge=1, le=1000, description="At most so many items in a page.")
]
Cursor = Annotated[
    str | None, QueryParameter(description="Where the page begins: `next` of the page before.")
]
