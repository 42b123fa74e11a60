"""Starts and stops a service, the stop within a bound.

`Runner` owns every task and every cleanup of a process. The first task that fails stops everything and its error is
the one that is raised; later errors are added to it as notes. A stop never takes longer than its
bound: a task that ignores its cancellation is reported and abandoned.
"""

from pkg.lifecycle.runner import Runner

__all__ = ["Runner"]
