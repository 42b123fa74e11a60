"""What a deletion is about, in all domains: what is under way there, what is cleared, what is erased at the end.

Above the domains, like `pkg.intents` and `pkg.retention`. Every function is a part of one transaction and repeatable.
"""
