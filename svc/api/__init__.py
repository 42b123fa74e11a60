"""The api: what clients and kranes talk to. Authenticates, validates, reads, records intents, streams. Never slow work.

gRPC and JSON over HTTP go through one `rpc.RpcPipeline` into the same servicers (`services/*`, which share `requests`).
`dispatch` hands intents to Restate, `feed` sends krane what is to run. `run.start` builds it all; there are no globals.
"""
