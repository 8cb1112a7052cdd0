"""Which events a flow wants: event patterns."""

from busway.errors import PatternError
from busway.rule.index import RuleIndex
from busway.rule.pattern import Pattern

__all__ = ["Pattern", "PatternError", "RuleIndex"]
