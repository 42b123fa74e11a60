"""DeletionService: how deletions go. Each is recorded by the service of what it deletes, by `recording.delete`."""
