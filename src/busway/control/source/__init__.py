"""Sources as an operator sees them: what they are, what came, what was refused, and pauses."""
