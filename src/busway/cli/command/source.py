"""``busway sources`` for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from busway.cli.call import Call
from busway.cli.operation_command import result_view
from busway.cli.output import echo, print_table
from busway.control.operation.source import (
    list_sources,
    pause_one_source,
    resume_one_source,
    show_source,
)
from busway.control.source.status import SourceStatus


@result_view(list_sources, watch=True)
def print_sources(call: Call, sources: Sequence[SourceStatus]) -> None:
    """Print sources, one in a row."""
    rows = [
        (
            source.name,
            source.type,
            source.state,
            source.accepted,
            source.duplicates,
            sum(source.refused.values()),
            _time(source.received_at),
            _ahead(source),
            _remark(source),
        )
        for source in sources
    ]
    columns = ("source", "type", "state", "accepted", "duplicates", "refused", "last", "next", "")
    print_table(columns, rows)


@result_view(show_source)
def print_source(call: Call, source: SourceStatus) -> None:
    """Print a source in full, a line for each thing that there is to say."""
    for what, text in _lines(source):
        echo(f"{what:<13} {text}")


@result_view(pause_one_source, resume_one_source)
def print_state(call: Call, source: SourceStatus) -> None:
    """Print the state of a source after it was changed."""
    until = "" if source.until is None else f" until {source.until.astimezone():%F %T %Z}"
    why = f": {source.state_reason}" if source.state_reason else ""
    echo(f"{source.name} is {source.state}{until}{why}")
    if call.client.is_exclusive:
        echo("Nothing runs here now: it holds from the next start on.")


def _lines(source: SourceStatus) -> Iterator[tuple[str, str]]:
    yield "source", f"{source.name} ({source.type}, {source.kind})"
    if source.address:
        yield "address", source.address
    yield "state", _state(source)
    if source.state_reason:
        yield "reason", source.state_reason
    if source.failing_since is not None:
        yield "failing", f"{source.failures:,} times since {_time(source.failing_since)}"
    yield "accepted", f"{source.accepted:,}, the last {_time(source.received_at)}"
    yield "duplicates", f"{source.duplicates:,}"
    for code, count in sorted(source.refused.items()):
        yield "refused", f"{count:,} {code}"
    if source.last_refusal is not None:
        last = source.last_refusal
        yield "last refusal", f"{_time(last.at)} {last.code}: {last.text}"
    if source.position:
        yield "position", f"{source.position}, saved {_time(source.saved_at)}"
    if _ahead(source) != "-":
        yield "next", _ahead(source)
    if source.worker is not None:
        yield "worker", f"{source.worker.id} ({source.worker.host}, process {source.worker.pid})"


def _state(source: SourceStatus) -> str:
    by = f" by {source.paused_by} since {_time(source.paused_since)}" if source.paused_by else ""
    until = "" if source.until is None else f" until {_time(source.until)}"
    return f"{source.state}{by}{until}"


def _remark(source: SourceStatus) -> str:
    """Return why a source is not running, or what was refused last."""
    if source.state_reason:
        return source.state_reason
    last = source.last_refusal
    return "" if last is None else f"refused: {last.text}"


def _ahead(source: SourceStatus) -> str:
    """Return when a source has something next, or how much waits in it."""
    if source.next_at is not None:
        return _time(source.next_at)
    return "-" if source.lag is None else f"{source.lag:,} waiting"


def _time(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%F %T}"
