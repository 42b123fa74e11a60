"""Object `Routing`, keyed by environment id: the one place where the routes of an environment move.

Its handlers are short database steps and wait for nothing, so that a key is never held for long.
"""
