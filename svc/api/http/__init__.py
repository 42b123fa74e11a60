"""The HTTP side: health, metrics, the Disk store's signed URLs, and JSON for every RPC."""
