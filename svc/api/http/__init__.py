"""The HTTP side: health, metrics, the Disk store's signed URLs, and every RPC as JSON (`connect`)."""
