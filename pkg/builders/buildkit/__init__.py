"""The `buildkit` backend: a buildkitd of the operator's own, on a unix socket or on TCP with mutual TLS.

It needs `[registry]`: each image is pushed there. What is wrong with the way to the daemon is found out step by step
(`connection`), since gRPC says no more than "unavailable".
"""
