"""Deletions of deployments, environments and projects: rows, which stay, and what is refused while one is under way.

A deletion is an intent: its row is written together with the mark on all that it is about, and from then on nothing new
may be begun there. The workflow `Teardown` carries it out. What was deleted stays as a row without content, so that an
id is never used again and whatever comes late finds a row that has ended.
"""
