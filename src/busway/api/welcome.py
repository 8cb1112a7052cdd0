"""``/``: the page behind the URL that the first start prints."""

from __future__ import annotations

from litestar import MediaType, get

TEXT = """Busway is running.

The part after #token= in the address of this page is the API's token. Commands on the server's
machine find it on their own (busway status); others read it from BUSWAY_API_TOKEN. With the host
and the port of this page:

    curl -H "Authorization: Bearer $BUSWAY_API_TOKEN" http://HOST:PORT/api/v1/status

/api/v1/openapi.json describes the API. Events go to POST /events.
"""


@get(
    "/",
    include_in_schema=False,
    sync_to_thread=False,
    media_type=MediaType.TEXT,
    opt={"public": True},
)
def welcome() -> str:
    """Return the same text to everybody: it tells nothing about this server."""
    return TEXT
