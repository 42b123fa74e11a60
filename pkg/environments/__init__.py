"""Environments: rows, sealed variables, and the sequence that orders the intents of each."""
