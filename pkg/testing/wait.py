"""How long a test waits for what takes a moment."""

# Nobody would believe it in a working system. On a machine that is busy with other tests, a process may not run for
# seconds, and what takes 0.1 s may take ten.
WAIT_S = 60.0
# What a real Kubernetes does: its controllers, scheduler and kubelet ask again after pauses of up to 30 s each.
KUBERNETES_WAIT_S = 240.0
KUBERNETES_TEST_TIMEOUT_S = 900  # pytest's, for a test that waits for several of them, and may start a cluster
