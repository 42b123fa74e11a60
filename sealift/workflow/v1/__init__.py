"""Version 1 of the workflow messages."""
