"""Object `Routing`, keyed by environment id: moves the routes of an environment, one intent at a time.

Its handlers are short database steps and wait for nothing, so that a key is never held for long.
"""
