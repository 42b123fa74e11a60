"""Commands in instances that are under way: their bytes go from a client to krane and back, through this process."""
