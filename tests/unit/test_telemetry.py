"""Metrics of several processes in one answer."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from busway.telemetry import Metrics, configure_log, merge_metrics, redact_from_log


def test_metrics_of_others_have_their_name_and_stand_with_their_family() -> None:
    own, other = Metrics(), Metrics()
    own.appended_events.inc(3)
    own.backlog_events.labels("orders").set(7)
    other.appended_events.inc(1)
    other.backlog_events.labels("orders").set(7)
    other.held_lanes.labels('o{1}" \u2028x').set(2)
    other.batch_events.labels("orders").observe(3)
    text = merge_metrics(own.render(), {"1": other.render().decode()}).decode()
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), "each family is told once"
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }
    assert found["busway_appended_events_total", ()] == 3
    assert found["busway_appended_events_total", (("worker", "1"),)] == 1
    assert found["busway_lanes_held", (("flow", 'o{1}" \u2028x'), ("worker", "1"))] == 2
    assert found["busway_batch_events_count", (("flow", "orders"), ("worker", "1"))] == 1
    backlog = [key for key in found if key[0] == "busway_backlog_events"]
    assert backlog == [("busway_backlog_events", (("flow", "orders"),))], "told by one of them"


def test_alone_its_metrics_are_as_they_were() -> None:
    own = Metrics().render()
    assert merge_metrics(own, {}) == own


class Unshowable(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """What is logged, as JSON."""
    root = logging.getLogger()
    before, handlers = structlog.get_config(), list(root.handlers)
    stream = StringIO()
    configure_log("json", "info", stream)
    yield stream
    root.handlers = handlers
    structlog.configure(**before)


def test_no_line_of_the_log_has_a_secret(log: StringIO) -> None:
    redact_from_log(["/in/S3CRET"])
    logger = structlog.get_logger("busway")
    logger.warning(
        "down", reason="GET /in/S3CRET", url="https://h/x?token=S3CRET", list=["/in/S3CRET"]
    )
    error = ValueError("https://u:S3CRET@h/in/S3CRET")
    logger.error("failed", error=repr(error), exc_info=error)
    logging.getLogger("somebody").error("no %s", "/in/S3CRET", exc_info=error)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert len(lines) == 3
    assert "S3CRET" not in log.getvalue()
    assert "ValueError: https://***@h***" in lines[1]["exception"]
    assert lines[2]["event"] == "no ***"
    assert lines[2]["logger"] == "somebody"


def test_an_exception_that_cannot_be_shown_is_logged(log: StringIO) -> None:
    structlog.get_logger("busway").error("failed", exc_info=Unshowable())
    assert "Unshowable" in json.loads(log.getvalue())["exception"]


class Writes(StringIO):
    """A stream that lists what is written to it in one go."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def write(self, text: str, /) -> int:
        self.parts.append(text)
        return len(text)


def test_a_line_is_one_write_as_workers_share_the_stream() -> None:
    stream = Writes()
    configure_log("json", "info", stream)
    structlog.get_logger("busway").info("settled", flow="orders")
    (line,) = stream.parts
    assert json.loads(line)["flow"] == "orders"
    assert line.endswith("\n")
