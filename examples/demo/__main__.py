"""The demo: 100,000 orders through a real Busway, a destination that goes down, a bad order.

Run by ``make demo``; takes a number of events. Ends with 0 only when all that it says was true.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import aiohttp

import verdict
from display import Display
from figures import sentences
from orders import plan
from play import Play
from server import BUSWAY, Failure, Server

EVENTS = 100_000
LIMIT_S = 600
FOLDER = Path(".demo")
SHOP = Path(os.path.relpath(Path(__file__).parents[1] / "shop" / "shop.py"))
COLUMNS = ["flow", "accepted", "delivered", "filtered", "dead", "parked", "backlog"]


async def run(display: Display, events: int) -> tuple[Play, list[verdict.Answer]]:
    """Run the demo; return it, and what was found true or not."""
    display.say(f"making {events:,} orders")
    made = plan(events)
    async with aiohttp.ClientSession() as session:
        play = Play(made, display, session)
        await play.crm.start()
        server = Server(SHOP, FOLDER, play.crm.url)
        try:
            await server.start()
            display.say(f"busway runs {SHOP} on {server.url}, its data is in {server.data}")
            async with asyncio.timeout(LIMIT_S):
                answers = await play.run(server, FOLDER)
        except Exception:
            await asyncio.sleep(0.2)  # time to hear that the server has ended, if that is why
            server.check_alive()
            raise
        finally:
            code = await server.stop()
            await play.crm.stop()
    return play, [*answers, verdict.ended(code)]


def _report(display: Display, play: Play, answers: list[verdict.Answer]) -> None:
    display.table(COLUMNS, [[flow.get(c, flow["name"]) for c in COLUMNS] for flow in play.flows])
    for answer in answers:
        mark = "[green]yes[/]" if answer.true else "[red]NO [/]"
        display.console.print(f"  {mark}  {answer.claim} [dim]({answer.seen})[/]", soft_wrap=True)
    display.console.print()
    for name, sentence in sentences(play.figures(answers)):
        display.console.print(f"  {name:<11} {sentence}", soft_wrap=True)


def _reasons(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [reason for one in error.exceptions for reason in _reasons(one)]
    if isinstance(error, TimeoutError):
        return [f"it was not over after {LIMIT_S} s; see {FOLDER / 'busway.log'}"]
    if isinstance(error, KeyboardInterrupt):
        return ["it was interrupted"]
    return [str(error) if isinstance(error, Failure) else repr(error)]


def main(events: int = EVENTS) -> int:
    """Return the exit code."""
    display = Display()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    try:
        with display:
            play, answers = asyncio.run(run(display, events))
    except (Exception, KeyboardInterrupt) as error:
        reasons = _reasons(error)
    else:
        _report(display, play, answers)
        reasons = list(verdict.wrong(answers))
    for reason in reasons:
        display.console.print(f"[red]the demo failed:[/] {reason}", soft_wrap=True)
    if reasons:
        return 1
    display.console.print("\n  The bad order waits for you. Look at it, with its traceback:")
    busway, data = os.path.relpath(BUSWAY), FOLDER / "data"
    display.console.print(f"    {busway} dead show {play.plan.bad} --data {data}\n", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
