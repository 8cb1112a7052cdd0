"""The intake server: hands requests to sources, and their events to the bus; 202 means durable."""

from busway.source.http.config import IntakeConfig, Limits, Observer
from busway.source.http.route import SourceRoute
from busway.source.http.server import IntakeServer

__all__ = ["IntakeConfig", "IntakeServer", "Limits", "Observer", "SourceRoute"]
