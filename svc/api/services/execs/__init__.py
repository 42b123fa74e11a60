"""Commands in instances."""
