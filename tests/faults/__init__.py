"""Processes of a real stack are killed and frozen while it works. See `scenes` for what must hold afterwards."""
