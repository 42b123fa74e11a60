"""Builds: statuses, rows, sealed secrets, and the contexts they are made from."""
