"""Commands that users run, and how jobs are shown."""
