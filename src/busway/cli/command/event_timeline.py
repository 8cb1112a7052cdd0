"""The story of an event as people read it: who it is, a timeline for each flow, its family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from busway.cli.command.dead_print import runs
from busway.cli.output import echo
from busway.control.event.advice import NOTHING
from busway.control.event.story_record import (
    FlowStory,
    OperatorAction,
    RelatedEvent,
    StoredResult,
    Story,
)
from busway.failed_event import Failure

_MARKS = {
    "delivered": "✓",
    "filtered": "-",
    "delivered_or_filtered": "?",
    "unknown": "?",
    "parked": "!",
    "dead": "✗",
    "discarded": "✗",
    "waiting": "…",
    "before_start": "-",
}


def print_story(story: Story) -> None:
    """Print all of a story."""
    for line in (*_head(story), *_flows(story.flows), *_family(story), *_now(story)):
        echo(line)


def _head(story: Story) -> Iterator[str]:
    yield f"{story.id}  {story.type}"
    yield f"  from      {story.source or '(not kept)'}"
    if story.key is not None:
        yield f"  key       {story.key}"
    if story.appended_at is not None:
        yield f"  came      {_time(story.appended_at)}"
    if story.time is not None:
        yield f"  happened  {_time(story.time)}"
    if story.position is not None:
        gone = "" if story.appended_at else " (trimmed; only copies are left)"
        position = story.position
        yield f"  place     partition {position.partition}, offset {position.offset:,}{gone}"
    if bytes(story.event) != b"null":
        yield f"  event     {_shorten(bytes(story.event).decode('utf-8', 'replace'), 300)}"
    for other in story.others:
        place = f"partition {other.position.partition}, offset {other.position.offset:,}"
        yield f"  also      {other.source} at {_time(other.appended_at)}, {place} (--source)"
    if not story.complete:
        back = f" back to {_time(story.looked_back_to)}" if story.looked_back_to else ""
        yield f"  note      not all of the log was looked at{back}"


def _flows(flows: Sequence[FlowStory]) -> Iterator[str]:
    for flow in flows:
        yield ""
        replay = f", replay {flow.replay}" if flow.replay else ""
        undeclared = " (not declared any more)" if not flow.declared else ""
        yield f"{_MARKS[flow.state]} {flow.flow}{replay}{undeclared}: {flow.text}"
        yield from (f"    {line}" for line in _about(flow))
        for at, (what, *below) in _timeline(flow):
            yield f"    {_time(at)}  {what}"
            yield from below
        if flow.state == "parked" and flow.due is not None:
            yield f"    {_time(flow.due)}  next attempt"


def _about(flow: FlowStory) -> Iterator[str]:
    if flow.destination:
        yield f"to        {flow.destination}"
    if flow.result is not None:
        yield f"landed    {_landing(flow.result)}"
    if flow.matched and flow.state == "waiting":
        yield "rule      wants it"
    if flow.held:
        yield f"held      {flow.held}"
    if flow.behind is not None:
        yield f"behind    {flow.behind}"


def _timeline(flow: FlowStory) -> list[tuple[datetime, list[str]]]:
    """Return what happened when, in lines, in order."""
    found = [(run[0].at, _failures(run)) for run in runs(flow.failures)]
    found += [(action.at, [_action_text(action)]) for action in flow.operator_actions]
    if flow.since is not None and flow.state in ("delivered", "filtered", "delivered_or_filtered"):
        code = f" by code {flow.version}" if flow.version else ""
        last = f", or until {_time(flow.until)}" if flow.until not in (None, flow.since) else ""
        found.append((flow.since, [f"{flow.state.replace('_', ' ')}{code}{last}"]))
    return sorted(found, key=lambda line: line[0])


def _failures(run: Sequence[Failure]) -> list[str]:
    first, last = run[0], run[-1]
    took = "" if last.took_ms is None else f", {last.took_ms:,.1f} ms"
    code = f" (code {last.version}{took})" if last.version else ""
    which = f"attempt {last.attempt}"
    if len(run) > 1:
        which = f"attempts {first.attempt} to {last.attempt}, the last at {_time(last.at)},"
    lines = [f"{which} failed in its {last.stage}: {last.error}: {last.reason}{code}"]
    if last.traceback:
        lines += [f"      {line}" for line in last.traceback.rstrip().splitlines()]
    return lines


def _action_text(action: OperatorAction) -> str:
    return f"{action.action} by {action.actor}{f': {action.reason}' if action.reason else ''}"


def _landing(landed: StoredResult) -> str:
    kinds = {"table": "table ", "file": "file ", "request": "2xx answer of ", "output": ""}
    text = f"{kinds.get(landed.location.kind, '')}{landed.location.place}"
    if landed.row is not None:
        keys = ", ".join(f"{name} = {_json(value)}" for name, value in landed.row.items())
        text += f", row {keys}"
    elif landed.location.key:
        text += f", a row by {', '.join(landed.location.key)}"
    if landed.idempotency_key is not None:
        text += f", Idempotency-Key {landed.idempotency_key}"
    return text


def _family(story: Story) -> Iterator[str]:
    if story.causes:
        yield ""
        yield "caused by"
        for depth, cause in enumerate(story.causes, 1):
            yield f"{'  ' * depth}{_relative(cause)}"
    if story.effects:
        yield ""
        yield "caused"
        yield from _tree(story.effects, 1)


def _now(story: Story) -> Iterator[str]:
    """Yield what there is to do: of what is not done yet, or else of what no flow has delivered."""
    yield ""
    yield "now"
    done = ("delivered", "filtered")
    flows = [flow for flow in story.flows if flow.state not in done and flow.advice != NOTHING]
    if not flows and not any(flow.state == "delivered" for flow in story.flows):
        flows = list(story.flows)
    for flow in flows:
        replay = f" (replay {flow.replay})" if flow.replay else ""
        yield f"  {flow.flow}{replay}: {flow.advice}"
    if not story.flows:
        yield "  no flow has run here: nothing takes it; start one with `busway run`"
    elif not flows:
        yield f"  {NOTHING}: every flow that wanted it has delivered it"


def _tree(relatives: Sequence[RelatedEvent], depth: int) -> Iterator[str]:
    for related in relatives:
        yield f"{'  ' * depth}{_relative(related)}"
        yield from _tree(related.effects, depth + 1)


def _relative(related: RelatedEvent) -> str:
    made = f", made by flow {related.flow}" if related.flow else ""
    return (
        f"{related.id}  {related.type} from {related.source} at {_time(related.appended_at)}{made}"
    )


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at:%F %T.%f}"[:-3] + "Z"


def _json(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def _shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
