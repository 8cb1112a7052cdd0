"""Advise what to do about an event, from its state in a flow. Pure."""

from __future__ import annotations

from shlex import quote

from busway.control.event.story_record import FlowStory
from busway.lane import REPLAY_SEPARATOR

NOTHING = "nothing to do"


def advice(story: FlowStory, id: str, place: str, *, runs: bool) -> str:
    """Return what to do about an event in a flow; ``place`` is ``partition/offset``.

    ``runs`` is whether the flows are running.
    """
    filtered = story.state == "waiting" and story.why_not is not None
    if filtered or (story.state == "discarded" and story.replay):
        return NOTHING
    if story.state in ("parked", "waiting"):
        return _waiting_action(story, _dead_letter_ref(story, place), runs=runs)
    past = f"busway replay start {quote(story.flow)} --id {quote(id)}"
    if story.why_not is not None and story.state == "filtered":
        rule = story.why_not.text
        return f"the rule filtered it: {rule}; to have it, change when= and `{past} --force`"
    return _ACTIONS.get(story.state, _UNKNOWN).format(
        past=past,
        letter=_dead_letter_ref(story, place),
        destination=story.destination or "its destination",
    )


_ACTIONS = {
    "dead": "it is dead: mend what failed, then `busway dead redrive {letter}`;"
    " or give it up: `busway dead discard {letter} --reason …`",
    "filtered": "it was filtered; to have it, change the rule or the step and `{past} --force`",
    "before_start": "it came before the flow began; to have it: `{past}`",
    "discarded": "it was discarded; to have it nevertheless: `{past} --force`",
    "delivered": NOTHING,
}
_UNKNOWN = "what became of it is not known exactly: look at {destination}"


def _dead_letter_ref(story: FlowStory, place: str) -> str:
    name = f"{story.flow}{REPLAY_SEPARATOR}{story.replay}" if story.replay else story.flow
    return quote(f"{name}/{place}")


def _waiting_action(story: FlowStory, dead_letter: str, *, runs: bool) -> str:
    held = _hold_action(story, runs=runs)
    if held:
        return held
    if story.behind is not None:
        return f"it waits for an earlier event of its key: see `busway event {quote(story.behind)}`"
    if story.state == "parked":
        at = f"at {story.due:%F %T} UTC" if story.due else "soon"
        return f"it is tried again {at}; at once: `busway dead redrive {dead_letter}`"
    return (
        "it waits for its turn in the backlog: nothing to do; `busway status` shows how far it is"
    )


def _hold_action(story: FlowStory, *, runs: bool) -> str:
    """Return how to end what holds the flow back, ``""`` if nothing does."""
    if not story.declared:
        return f"it waits, and no program has flow {story.flow} now: start one that has it"
    if not runs:
        return "it waits, and no server runs here: start it with `busway run`"
    return _HOLD_ACTIONS.get(story.held_state, "").format(
        text=story.held,
        flow=quote(story.flow),
        whose=" --destination" if "destination paused" in story.held else "",
        destination=story.destination,
    )


_HOLD_ACTIONS = {
    "paused": "it waits ({text}); to go on: `busway resume {flow}{whose}`",
    "window": "it waits until the window closes ({text}); or `busway window skip {flow}`",
    "gone": "it waits for {destination} ({text}); when that takes events again:"
    " `busway resume {flow} --destination`",
    "down": "it waits for {destination} ({text}), which is called again automatically",
    "stuck": "it waits, as the work of the flow fails again and again ({text}): mend that",
}
