"""Instances as containers of one Docker engine: `DockerRuntime`.

Short calls go through the `docker` SDK in an executor of their own (`calls`); events, pulls, stops and logs through a
small asyncio client on the same socket (`streams`). `container_spec` says what a container of ours looks like,
`creation` makes, adopts and starts it, `containers` finds, inspects and removes it. An engine that is away raises
`Unavailable` ("engine.unavailable").
"""
