"""Workflow `Deploy`, keyed by deployment id: from a recorded intent to exactly one terminal status."""
