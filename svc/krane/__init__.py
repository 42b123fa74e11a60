"""krane: the agent of one region. Pulls desired state, makes instances and ingress match, reports what it sees.

It dials out only, and keeps serving and healing while the control plane is away: the last complete snapshot of the
desired state is on disk. Packages: `controller` (reconciles what runs with what is wanted), `runtime` (how
instances run), `ingress` (how traffic reaches them). It fails at start for a config it cannot use; later faults are
retried and reported, never fatal.
"""
