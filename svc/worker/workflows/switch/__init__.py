"""Workflow `Switch`, keyed by operation id: a promote, rollback, stop, scale or restart.

A rollback to a warm deployment is a handful of database steps; a cold one is started first. A scale and a restart
change what the regions are to run, and wait until they do.
"""
