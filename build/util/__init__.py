"""What the entry points of all services share: `run.run_service`."""
