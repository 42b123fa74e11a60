"""Routes: which hostname points at which deployment, who may move it, and the way back.

`rules` is pure; `moves` holds the two transactions that change routes, `assign` and `undo`; `queries` reads.
"""
