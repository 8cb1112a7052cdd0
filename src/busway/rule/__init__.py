"""Rules: event patterns that select the events of a flow."""

from busway.errors import PatternError
from busway.rule.index import RuleIndex
from busway.rule.mismatch import Mismatch
from busway.rule.pattern import Pattern

__all__ = ["Mismatch", "Pattern", "PatternError", "RuleIndex"]
