"""How instances run: the `Runtime` port, its adapters, and the factory that chooses one.

Adapters raise `pkg.errors.FailedPrecondition` for what a retry does not heal (image missing, name taken) and
`pkg.errors.Unavailable` for a runtime that is away. `refusals` and `pull_failures` say what a container runtime's words
mean, wherever they come from.
"""
