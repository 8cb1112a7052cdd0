"""Flows: what users declare, and what becomes of it."""

from busway.flow.compile import compile_app
from busway.flow.flow import Flow, Program
from busway.flow.load import load_app, split_target
from busway.flow.spec import App

__all__ = ["App", "Flow", "Program", "compile_app", "load_app", "split_target"]
