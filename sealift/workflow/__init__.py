"""Generated code of the workflow messages."""
