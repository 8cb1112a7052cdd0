"""Run the user's code: plain functions over events."""

from busway.step.run import run_steps
from busway.step.step import Failed, Produced, Step

__all__ = ["Failed", "Produced", "Step", "run_steps"]
