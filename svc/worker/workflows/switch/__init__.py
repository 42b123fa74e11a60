"""Workflow `Switch`, keyed by operation id: a promote or rollback to another deployment, or the stop of one.

A rollback to a warm deployment is a handful of database steps; a cold one is started first.
"""
