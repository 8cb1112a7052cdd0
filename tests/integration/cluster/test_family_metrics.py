"""``busway run --workers``: one scrape shows what the workers do as well."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from command import get, running, until
from shop_flows import PRINTED

HELD = re.compile(r'^busway_lanes_held\{worker="(\d)",flow="orders"\} (\S+)$', re.MULTILINE)
DELIVERED = re.compile(
    r'^busway_events_total\{worker="\d",flow="orders",outcome="delivered"\} (\S+)$', re.MULTILINE
)


def test_the_parent_tells_the_metrics_of_its_workers(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(PRINTED)
    with running("shop.py", "--workers", "2", cwd=tmp_path) as server:

        def metrics() -> str:
            return get(f"{server.url}/metrics").text

        def held() -> dict[str, float]:
            return {worker: float(count) for worker, count in HELD.findall(metrics())}

        def delivered() -> list[float]:
            return [float(count) for count in DELIVERED.findall(metrics())]

        until(lambda: held() == {"1": 2, "2": 2}, "both tell of their lanes")
        posted = 0

        def all_told() -> bool:
            return sum(delivered()) == posted

        while len(delivered()) < 2:  # again where one had all lanes for a while
            events = ({"id": str(posted + n), "subject": f"k{n}", "data": {}} for n in range(20))
            assert server.post(*events).status_code == 202
            posted += 20
            until(all_told, "they tell of events")
        assert len(re.findall(r"^# TYPE busway_lanes_held ", metrics(), re.MULTILINE)) == 1
        children = get(f"{server.url}/api/v1/workers").json()["workers"]
        os.kill(children[0]["pid"], signal.SIGKILL)
        until(lambda: 0 < sum(delivered()) < posted, "one that is gone is left out")
