"""ProjectService: projects of the caller's workspace."""
