"""Run the user's code: plain functions over events."""

from busway.step.run import run_steps
from busway.step.step import Step, StepFailure, StepResult

__all__ = ["Step", "StepFailure", "StepResult", "run_steps"]
