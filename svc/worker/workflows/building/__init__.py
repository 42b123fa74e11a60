"""Workflow `Build`, keyed by build id: a slot, a checked archive, then attempts until there is an outcome.

The solve itself is one long step. Losing its connection loses the solve, so after a crash of the worker there is a new
attempt, which claims the next number; what the old one still writes is refused by its number.
"""
