"""The one-machine supervisor: starts, restarts and stops everything that a single-machine Sealift consists of.

    python -m svc.standalone [up]      run the stack in the foreground
    python -m svc.standalone down      end it (and, with --apps, its app containers)
    python -m svc.standalone status    what runs, what answers
    python -m svc.standalone drain     before an upgrade: let what is under way end
    python -m svc.standalone restored  after a backup was copied back, before the next start
    python -m svc.standalone engine    only the private Docker engine

Restate, api, worker and krane are children and end with the supervisor, even on kill -9. Envoy and a private Docker
engine serve users, so they are detached: they outlive a crash or an upgrade of the supervisor and the next one adopts
them.

It imports neither grpc nor docker nor a database library: it has to be small, start at once and never be the process
that fails. Drains go through the api, with a key of its own. What fails before the stack runs is a `StartupError`,
whose text is one or two sentences for the operator; a process that ends later is restarted with a back-off, and the
log says so.
"""
