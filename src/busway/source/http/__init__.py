"""The intake server: passes requests to sources and appends their events; 202 means durable."""

from busway.source.http.config import IntakeConfig, RequestObserver
from busway.source.http.limit import IntakeLimits
from busway.source.http.route import SourceRoute
from busway.source.http.server import IntakeServer

__all__ = ["IntakeConfig", "IntakeLimits", "IntakeServer", "RequestObserver", "SourceRoute"]
