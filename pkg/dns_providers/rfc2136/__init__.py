"""Dynamic updates (RFC 2136) with TSIG, over TCP."""
