"""BuildService: build contexts in, images out, and what the builder said meanwhile."""
