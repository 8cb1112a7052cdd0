"""Busway's log lines (at most one per batch) and Prometheus metrics."""

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

DURATION_BUCKETS = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
EVENT_COUNT_BUCKETS = (1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000)


def configure_log(log_format: str = "", level: str = "info", stream: TextIO | None = None) -> None:
    """Write log lines to ``stream`` (stderr); by default text on a terminal, else JSON.

    Lines of libraries are written the same way. Known secrets (:func:`redact_from_log`) and texts
    that look like secrets are redacted.
    """
    target = stream or sys.stderr
    text = log_format == "text" or (not log_format and target.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _exception_processor,
        _RedactionProcessor(),
    ]
    plain = structlog.dev.plain_traceback  # no local variables: they may hold secrets
    tail: list[Processor] = [
        _escape_processor,
        structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=plain),
    ]
    if not text:
        tail = [structlog.processors.JSONRenderer(serializer=_to_json)]
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        # one write per line, because workers share the stream
        logger_factory=structlog.WriteLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [
        handler for handler in root.handlers if not isinstance(handler, _LibraryLogHandler)
    ]
    root.addHandler(_LibraryLogHandler(logging.WARNING))


def redact_from_log(secrets: Iterable[str]) -> None:
    """Redact secrets from all further log lines."""
    for processor in structlog.get_config()["processors"]:
        if isinstance(processor, _RedactionProcessor):
            processor.redact.add_secrets(secrets)


class _RedactionProcessor:
    """Redacts secrets from all texts of a line."""

    def __init__(self) -> None:
        self.redact = Redactor()

    def __call__(self, _logger: object, _method: str, line: EventDict) -> EventDict:
        return {name: self._shown(value) for name, value in line.items()}

    def _shown(self, value: object) -> object:
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, list | tuple):
            return [self._shown(item) for item in value]
        plain = value is None or isinstance(value, bool | int | float)
        return value if plain else self.redact(_to_text(value))


def _escape_processor(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Escape unprintable characters: a line may contain untrusted text."""
    escaped: EventDict = {}
    for name, value in line.items():
        if name == "exception":
            escaped[name] = printable_lines(_to_text(value))
        else:
            escaped[name] = printable(_to_text(value)) if isinstance(value, str | list) else value
    return escaped


def _exception_processor(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Replace ``exc_info`` by the traceback of any exception."""
    exc_info = line.pop("exc_info", None)
    error = (
        sys.exception()
        if exc_info is True
        else exc_info[1]
        if isinstance(exc_info, tuple)
        else exc_info
    )
    if isinstance(error, BaseException):
        line["exception"] = exception_text(error).traceback
    return line


class _LibraryLogHandler(logging.Handler):
    """Forwards log records of libraries to Busway's log."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception as error:
            message = f"cannot format {record.msg!r}: {exception_line(error)}"
        line = structlog.get_logger("busway").bind(logger=record.name)
        line.log(record.levelno, message, exc_info=record.exc_info)


def _to_json(value: object, **_: object) -> str:
    return printable_json(msgspec.json.encode(value, enc_hook=repr).decode())


def _to_text(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


INSTALLATION_METRICS = ("busway_backlog_events", "busway_failed_events", "busway_log_bytes")
"""Metrics about the whole installation, which every process reports: one sample is enough."""


def merge_metrics(own: bytes, others: Mapping[str, str]) -> bytes:
    """Merge the metrics of other processes into ``own``, with their name as label ``worker``."""
    families = _metric_families(own.decode())
    for worker, text in others.items():
        for name, (about, samples) in _metric_families(text).items():
            if name not in INSTALLATION_METRICS:
                into = families.setdefault(name, (about, []))[1]
                into += [_with_worker_label(sample, worker) for sample in samples]
    lines = [line for about, samples in families.values() for line in (*about, *samples)]
    return "".join(f"{line}\n" for line in lines).encode()


def _metric_families(text: str) -> dict[str, tuple[list[str], list[str]]]:
    """Return the comment lines and the samples of each metric, by name."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    about: list[str] = []
    samples: list[str] = []
    for line in text.rstrip("\n").split("\n"):
        if line.startswith("# HELP "):
            about, samples = families.setdefault(line.split(" ", 3)[2], ([], []))
        (about if line.startswith("#") else samples).append(line)
    return families


def _with_worker_label(sample: str, worker: str) -> str:
    name, value = sample.split(" ", 1)
    if "{" in name:
        return sample.replace("{", f'{{worker="{worker}",', 1)
    return f'{name}{{worker="{worker}"}} {value}'


class Metrics:
    """The metrics of one process, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._add_intake_metrics()
        self._add_delivery_metrics()
        self._add_state_metrics()

    def _add_intake_metrics(self) -> None:
        self.requests = self._counter("requests", "HTTP requests by status", "status")
        self.unauthorized = self._counter(
            "unauthorized", "Requests without a valid token or key", "part", "reason"
        )
        self.request_events = self._counter("request_events", "Events in requests that got a 202")
        self.request_bytes = self._counter("request_bytes", "Bytes of request bodies, as they came")
        self.source_events = self._counter(
            "source_events", "Events from sources", "source", "outcome"
        )
        self.source_refused = self._counter(
            "source_refused", "Requests or records refused", "source", "reason"
        )
        self.request_seconds = self._histogram(
            "request_seconds", "Duration from request to response", DURATION_BUCKETS
        )
        self.appended_events = self._counter("appended_events", "Events made durable")
        self.append_seconds = self._histogram(
            "append_seconds", "Duration of one group commit", DURATION_BUCKETS
        )
        self.append_events = self._histogram(
            "append_events", "Events per group commit", EVENT_COUNT_BUCKETS
        )

    def _add_delivery_metrics(self) -> None:
        self.event_outcomes = self._counter("events", "Events by outcome", "flow", "outcome")
        self.retries = self._counter("retries", "Retried events", "flow", "outcome")
        self.stage_seconds = self._histogram(
            "stage_seconds", "Duration of a batch by stage", DURATION_BUCKETS, "flow", "stage"
        )
        self.batch_events = self._histogram(
            "batch_events", "Events per settlement", EVENT_COUNT_BUCKETS, "flow"
        )

    def _add_state_metrics(self) -> None:
        self.backlog_events = self._gauge("backlog_events", "Events not read yet", "flow")
        self.failed_events = self._gauge(
            "failed_events", "Parked events and dead letters", "flow", "state"
        )
        self.breaker_open = self._gauge(
            "breaker_open", "1 while the circuit breaker is open", "destination"
        )
        self.loop_stuck = self._gauge("loop_stuck", "1 while a loop keeps failing", "loop")
        self.alert_raised = self._gauge("alert_raised", "1 while an alert is raised", "alert")
        self.held_lanes = self._gauge("lanes_held", "Lanes that this process holds", "flow")
        self.lease_changes = self._counter(
            "lease_changes",
            "Lane leases acquired, released and lost to another worker",
            "flow",
            "move",
        )
        self.fenced_writes = self._counter(
            "fenced_writes",
            "Loads and settlements refused because their fencing token was stale",
            "flow",
        )
        self.lost_events = self._counter(
            "lost_events", "Events that lanes skipped because the log had lost them", "flow"
        )
        self.heartbeat_age = self._gauge(
            "heartbeat_age_seconds", "Seconds since the worker's last heartbeat; 0 without leases"
        )
        self.log_bytes = self._gauge("log_bytes", "Size of the log in bytes")

    def render(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"busway_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"busway_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"busway_{name}", text, labels, buckets=buckets, registry=self.registry)
