"""Libraries that the services share. Imports nothing from `svc`."""
