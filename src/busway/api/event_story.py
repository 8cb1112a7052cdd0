"""``/events/{id}``: the story of an event, by a path that may have slashes in it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import unquote

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter, SkipValidation

from busway.api.openapi import example
from busway.control.context import ControlContext
from busway.control.event.story import assemble_story
from busway.control.event.story_record import Story
from busway.control.operation.event import STORY


@get("/events/{id:path}", summary="Show an event's story", opt=example(STORY), tags=["events"])
async def show_event(
    control: NamedDependency[SkipValidation[ControlContext]],
    request: Request[Any, Any, Any],
    id: FromPath[str],
    source: Annotated[
        str | None, QueryParameter(description="Its source, if several events have the id.")
    ] = None,
) -> Story:
    """Return where an event came from, what each flow did with it and why, and what it caused."""
    return await assemble_story(control, _as_sent(request, id), source)


def _as_sent(request: Request[Any, Any, Any], id: str) -> str:
    """Return the id with its slashes as they came: the path that is routed by has fewer."""
    raw = request.scope.get("raw_path", b"").decode("ascii", "replace").partition("?")[0]
    _, found, rest = raw.partition("/events/")
    return unquote(rest) if found else id.removeprefix("/")
