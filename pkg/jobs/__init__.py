"""Jobs: containers that run one command to its end. `release` jobs are of a deploy, `run` jobs of a user.

A row is the intent and the outcome. Its region is told of it by the feed from `wanted_at` on until it has ended; krane
starts it, watches it and reports. `rules` says when a job has to have ended, whatever its region does. An end is
written once, and what comes later changes nothing.
"""
