"""Regions: what each krane is to run, what it reports as running, and what its ingress has applied.

`verdict` is pure: whether a deployment is healthy, failed, or to be waited for.
"""
