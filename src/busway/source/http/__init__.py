"""Events over HTTP: CloudEvents in all modes, NDJSON, compressed or not; 202 means durable."""

from busway.source.http.config import IntakeConfig, Limits, Observer
from busway.source.http.server import IntakeServer

__all__ = ["IntakeConfig", "IntakeServer", "Limits", "Observer"]
