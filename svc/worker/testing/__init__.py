"""A world for the worker's tests: real Restate, real SQLite, the real app over HTTP/2, peers of what lies outside.

`world.World` builds it, `player.RegionPlayer` does what krane and the api would (runs what it is told, reports it,
rings the bells), `builder.PeerBuilder` is a Builder that a test conducts.
"""
