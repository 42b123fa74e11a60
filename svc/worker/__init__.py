"""The worker: the only place where long work happens.

Handlers of Restate (`workflows`): `Deploy`, `Switch`, `Build`, the objects `Routing` and `BuildSlot`. The worker holds
no state: the truth is in the database, progress in Restate's journal, and every step may run twice. Handlers take
`deps.WorkerDeps`, which `run.run` builds. A step that fails for a transient reason is repeated without limit; what a
user must know is written to the row of the deployment, build or operation, with a stable code.
"""
