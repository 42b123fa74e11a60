"""What should be in this region, and the loops that make it so.

`desired` holds the wanted state, `feed` follows the api, `snapshot` keeps the state on disk. `reconcile` owns one
`deployment` reconciler each, whose passes are requested through a `workqueue`; `replicas` does one replica's part of a
pass and judges its `instance` by `probes`; `publishing` reports to the api (`reports`) and the ingress (`endpoints`).
`routing` moves routes and says when they are applied. Faults of one deployment never stop another's.
"""
