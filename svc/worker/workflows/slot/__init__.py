"""Object `BuildSlot`, keyed by workspace id: how many builds run at once, first come, first served.

A holder has a lease (the build timeout and ten minutes), so that the slot of a killed build becomes free again.
"""
