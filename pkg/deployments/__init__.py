"""Deployments: their statuses and run states, the gates before a promote, and their rows.

`status` and `gates` are pure; `queries` holds every statement, each guarded by the statuses it may start from.
"""
