"""What Busway tells about itself: log lines, at most one a batch, and Prometheus metrics."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from structlog.typing import EventDict, Processor

from busway.exception_text import exception_line, exception_text
from busway.printable import printable, printable_json, printable_lines
from busway.redact import Redactor

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
EVENTS = (1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000)


def configure_log(log_format: str = "", level: str = "info", stream: TextIO | None = None) -> None:
    """Write log lines to ``stream`` (stderr): text on a terminal, JSON elsewhere, or as asked.

    What libraries log is written the same way. No line has a secret that is known
    (:func:`hide_in_log`) or looks like one.
    """
    target = stream or sys.stderr
    text = log_format == "text" or (not log_format and target.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _exception,
        _Redaction(),
    ]
    plain = structlog.dev.plain_traceback  # no local variables: they may hold secrets
    tail: list[Processor] = [
        _escaped,
        structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=plain),
    ]
    if not text:
        tail = [structlog.processors.JSONRenderer(serializer=_to_json)]
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        # a line is one write, as workers share the stream
        logger_factory=structlog.WriteLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [one for one in root.handlers if not isinstance(one, _Foreign)]
    root.addHandler(_Foreign(logging.WARNING))


def hide_in_log(secrets: Iterable[str]) -> None:
    """Keep secrets out of the log from now on, wherever they stand in a line."""
    for processor in structlog.get_config()["processors"]:
        if isinstance(processor, _Redaction):
            processor.redact.learn(secrets)


class _Redaction:
    """The log's edge: takes secrets out of every text of a line."""

    def __init__(self) -> None:
        self.redact = Redactor()

    def __call__(self, _logger: object, _method: str, line: EventDict) -> EventDict:
        return {name: self._shown(value) for name, value in line.items()}

    def _shown(self, value: object) -> object:
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, list | tuple):
            return [self._shown(one) for one in value]
        plain = value is None or isinstance(value, bool | int | float)
        return value if plain else self.redact(_to_text(value))


def _escaped(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Escape what is not printable: what came from outside may be in a line."""
    found: EventDict = {}
    for name, value in line.items():
        if name == "exception":
            found[name] = printable_lines(_to_text(value))
        else:
            found[name] = printable(_to_text(value)) if isinstance(value, str | list) else value
    return found


def _exception(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Put the traceback of ``exc_info`` into a line, whatever the exception is."""
    found = line.pop("exc_info", None)
    error = sys.exception() if found is True else found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        line["exception"] = exception_text(error).traceback
    return line


class _Foreign(logging.Handler):
    """Writes what libraries log as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception as error:
            message = f"{record.msg!r} cannot be shown: {exception_line(error)}"
        line = structlog.get_logger("busway").bind(logger=record.name)
        line.log(record.levelno, message, exc_info=record.exc_info)


def _to_json(value: object, **_: object) -> str:
    return printable_json(msgspec.json.encode(value, enc_hook=repr).decode())


def _to_text(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


ALONE = ("busway_backlog_events", "busway_trouble_events", "busway_log_bytes")
"""What each process tells of the whole installation: one of them is enough."""


def merged(own: bytes, others: Mapping[str, str]) -> bytes:
    """Return metrics as text with those of others, whose samples get their name as ``worker``."""
    families = _families(own.decode())
    for worker, text in others.items():
        for name, (about, samples) in _families(text).items():
            if name not in ALONE:
                into = families.setdefault(name, (about, []))[1]
                into += [_labelled(sample, worker) for sample in samples]
    lines = [line for about, samples in families.values() for line in (*about, *samples)]
    return "".join(f"{line}\n" for line in lines).encode()


def _families(text: str) -> dict[str, tuple[list[str], list[str]]]:
    """Return by name what is said about each metric, and its samples."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    about: list[str] = []
    samples: list[str] = []
    for line in text.rstrip("\n").split("\n"):
        if line.startswith("# HELP "):
            about, samples = found.setdefault(line.split(" ", 3)[2], ([], []))
        (about if line.startswith("#") else samples).append(line)
    return found


def _labelled(sample: str, worker: str) -> str:
    name, value = sample.split(" ", 1)
    if "{" in name:
        return sample.replace("{", f'{{worker="{worker}",', 1)
    return f'{name}{{worker="{worker}"}} {value}'


class Metrics:
    """Every metric of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("requests", "HTTP requests by status", "status")
        self.unauthorized = self._counter(
            "unauthorized", "Requests without a valid token or key", "part", "reason"
        )
        self.request_events = self._counter("request_events", "Events in requests that got a 202")
        self.request_bytes = self._counter("request_bytes", "Bytes of request bodies")
        self.request_seconds = self._histogram("request_seconds", "From request to answer", SECONDS)
        self.appended = self._counter("appended_events", "Events made durable")
        self.append_seconds = self._histogram("append_seconds", "One group commit", SECONDS)
        self.append_events = self._histogram("append_events", "Events of one commit", EVENTS)
        self.outcomes = self._counter("events", "Events by what became of them", "flow", "outcome")
        self.retries = self._counter("retries", "Retried events", "flow", "outcome")
        self.stage_seconds = self._histogram(
            "stage_seconds", "A batch's time by stage", SECONDS, "flow", "stage"
        )
        self.batch_events = self._histogram("batch_events", "Events a settlement", EVENTS, "flow")
        self.backlog = self._gauge("backlog_events", "Events not read yet", "flow")
        self.standing = self._gauge("trouble_events", "Troubled events", "flow", "state")
        self.breaker = self._gauge("breaker_open", "1 while it takes nothing", "destination")
        self.stuck = self._gauge("loop_stuck", "1 while a loop fails again and again", "loop")
        self.alert = self._gauge("alert_raised", "1 while an alert is raised", "alert")
        self.lanes = self._gauge("lanes_held", "Lanes that this process works", "flow")
        self.lane_moves = self._counter(
            "lane_moves", "Lanes taken, given up, and lost to another worker", "flow", "move"
        )
        self.fenced = self._counter(
            "fenced", "Loads and settlements refused under an old lease", "flow"
        )
        self.missing = self._counter(
            "missing_events", "Offsets that lanes passed where the log had lost the events", "flow"
        )
        self.beat_age = self._gauge(
            "beat_age_seconds", "Since the last beat of a worker that shares; else 0"
        )
        self.log_bytes = self._gauge("log_bytes", "What the log takes up")

    def render(self) -> bytes:
        """Return all of them in the Prometheus text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"busway_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"busway_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"busway_{name}", text, labels, buckets=buckets, registry=self.registry)
