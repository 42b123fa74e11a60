"""Regions: what each krane was told to run, what it says it runs, and what its ingress has applied.

`verdict` is pure: whether a deployment is healthy, failed, or to be waited for.
"""
