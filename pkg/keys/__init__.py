"""Access keys: `rules` makes, recognises and hashes them (pure), `queries` keeps what is stored of them.

Stored is the sha256 of a key. A key holds 200 random bits, so that a fast hash is as good as a slow one.
"""
