"""What time takes: the safety net under the delayed messages that stop deployments, and old records."""
