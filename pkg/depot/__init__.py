"""Depot (https://depot.dev): rented BuildKit machines, and one project there for each project here.

A build is: the project at Depot (`projects`), a build in it and its own token (`api`), a machine that is kept by
heartbeats until it is released (`machine`), and the true outcome at the end. What runs on the machine is a solve like
any other (`pkg.buildkit`); `pkg.builders.depot` puts the parts together. What fails is one of the two errors of
`pkg.builds.failures`.
"""
