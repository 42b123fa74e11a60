"""How instances run: the `Runtime` port and its adapters.

Adapters raise `pkg.errors.FailedPrecondition` for what a retry does not heal (image missing, name taken) and
`pkg.errors.Unavailable` for an engine that is away.
"""
