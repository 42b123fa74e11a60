"""Several real parts together, each in a process of its own."""
