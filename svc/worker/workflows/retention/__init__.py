"""Cleanup: deletes what is no longer needed and stops deployments past their standby time.

`sweep` runs the tasks every few minutes: overdue standbys (`standby`), build contexts (`contexts`), images, and rows
and logs past their retention. `standby` also ends standbys early when a region has run out of something. Every task is
idempotent and independent of the others. docs/operating.md says how long each is kept.
"""
