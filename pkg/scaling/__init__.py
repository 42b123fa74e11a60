"""Scales and restarts: what an operation changes, how it is undone, and how far the regions have come.

The number of instances belongs to the environment once it was scaled: every deployment of it that has no bounds runs
that number in each region. A restart belongs to a deployment. Of several scales, or restarts, the latest that has begun
and not failed counts, so that undoing one gives back what the others want.
"""
