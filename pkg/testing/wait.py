"""How long a test waits for what takes a moment."""

# Nobody would believe it in a working system. On a machine that is busy with other tests, a process may not run for
# seconds, and what takes 0.1 s may take ten.
WAIT_S = 60.0
