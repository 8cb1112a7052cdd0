"""Run the user's code: plain functions over events."""

from busway.step.run import run_steps
from busway.step.step import Step, StepFailure, StepResult
from busway.step.thread_pool import StepThreads

__all__ = ["Step", "StepFailure", "StepResult", "StepThreads", "run_steps"]
