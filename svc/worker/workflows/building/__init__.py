"""Workflow `Build`, keyed by build id: a slot, a checked archive, then attempts until there is an outcome.

The solve itself is one long step: losing its connection loses the solve, so a crash of the worker means a new attempt,
which claims the next number; whatever the old one still writes is refused by its number.
"""
