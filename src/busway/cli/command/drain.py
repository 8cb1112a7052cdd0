"""``busway drain`` for people."""

from __future__ import annotations

from busway.cli.command.steering import print_steered
from busway.cli.operation_command import result_view
from busway.control.operation.drain import drain

VIEW = result_view(drain)(print_steered)
