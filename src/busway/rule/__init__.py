"""Which events a flow wants: event patterns."""

from busway.errors import PatternError
from busway.rule.index import RuleIndex
from busway.rule.mismatch import Mismatch
from busway.rule.pattern import Pattern

__all__ = ["Mismatch", "Pattern", "PatternError", "RuleIndex"]
