"""What should be in this region, and the loops that make it so.

`desired` holds the wanted state, `feed` follows the api, `snapshot` keeps the state on disk; `reconcile` owns one
`deployment` reconciler each, which judge their `instance`s by `probes`; `routing` moves routes and says when they
are applied; `reports` tells the api. Faults of one deployment never stop another's.
"""
