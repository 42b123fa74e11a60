"""Workspaces: who owns projects and keys, and how many builds run at once for each."""
