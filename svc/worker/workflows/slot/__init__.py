"""Object `BuildSlot`, keyed by workspace id: how many builds run at once, production before previews.

A holder has a lease (the build timeout and ten minutes), so that the slot of a killed build becomes free again.
"""
