"""Print dead letters for people: by root cause, and one in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from busway.cli.output import echo, echo_json, echo_lines, print_table
from busway.control.dead_letter.dead_letter import DeadLetterDetail, RootCause
from busway.failed_event import Failure

_REASON = 200


def print_causes(causes: Sequence[RootCause], *, cut: bool) -> None:
    """Print groups, an example of each, and their total."""
    rows = [
        (
            cause.dead,
            cause.parked,
            cause.fingerprint or "-",
            cause.flow,
            f"{cause.last_since:%F %T}",
            cause.cause,
        )
        for cause in causes
    ]
    print_table(("dead", "parked", "fingerprint", "flow", "last", "cause"), rows)
    echo()
    examples = [(cause.fingerprint or "-", cause.example, _reason(cause)) for cause in causes]
    print_table(("fingerprint", "example", "its last failure"), examples)
    echo()
    dead, parked = sum(cause.dead for cause in causes), sum(cause.parked for cause in causes)
    first = f"The first {len(causes):,} groups: " if cut else ""
    echo(f"{first}{dead:,} dead, {parked:,} parked{_ADVICE if parked else ''}")


_ADVICE = " (parked events have attempts left and are tried again)"


def _reason(cause: RootCause) -> str:
    text = f"{cause.error}: {cause.example_reason}" if cause.example_reason else cause.error or "-"
    return text if len(text) <= _REASON else text[: _REASON - 1] + "…"


def print_letter(found: DeadLetterDetail) -> None:
    """Print a dead letter in full: its event, and every attempt."""
    letter = found.dead_letter
    echo(f"{letter.place}  {letter.id}  {letter.state} since {letter.since:%F %T}")
    if letter.fingerprint:
        echo(f"cause {letter.fingerprint}: {letter.cause}")
    echo_json(msgspec.json.format(bytes(found.event), indent=2))
    for run in runs(found.failures):
        echo(_attempts(run))
        echo_lines(run[-1].traceback or "", nl=False)


def runs(failures: Sequence[Failure]) -> Iterator[Sequence[Failure]]:
    """Yield runs of consecutive failures that are alike, so that each is printed once.

    A run ends where the attempts start over, and where the error, its text, its traceback or the
    code version differs.
    """
    begin = 0
    for end in range(1, len(failures) + 1):
        if end == len(failures) or not _alike(failures[end - 1], failures[end]):
            yield failures[begin:end]
            begin = end


def _alike(failure: Failure, other: Failure) -> bool:
    return _content(failure) == _content(other) and other.attempt > failure.attempt


def _content(failure: Failure) -> tuple[object, ...]:
    return failure.stage, failure.error, failure.reason, failure.traceback, failure.version


def _attempts(run: Sequence[Failure]) -> str:
    first, last = run[0], run[-1]
    took = "" if last.took_ms is None else f", {last.took_ms:,.1f} ms"
    which = f"attempt {first.attempt} at {first.at:%F %T}"
    if len(run) > 1:
        which = (
            f"attempts {first.attempt} to {last.attempt} from {first.at:%F %T} to {last.at:%F %T}"
            f" ({len(run)} times)"
        )
    return f"{which}, {last.stage}{took}: {last.error}: {last.reason} (code {last.version})"
