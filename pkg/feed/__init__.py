"""The desired-state feed: what regions are to run, as numbered references to rows.

A change is recorded in the transaction that makes it. Its version comes from one sequencer row that the transaction
locks, so versions follow commit order and a reader that has seen version n has seen everything up to n.
"""
