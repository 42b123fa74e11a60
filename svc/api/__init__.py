"""The api: the only door. Authentication, validation, reads, writes of intent, streams, dispatch. Never slow work.

gRPC and JSON over HTTP go through one `rpc.RpcPipeline` into the same servicers (`services/*`). `dispatch` hands
intents to Restate, `feed` tells krane what is to run. `run.start` builds it all; there are no globals.
"""
