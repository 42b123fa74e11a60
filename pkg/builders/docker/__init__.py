"""The `docker` backend: the BuildKit inside a Docker engine. The image stays in that engine, as `engine:<image id>`.

Below BuildKit 0.18 (every Docker 20.10) a Dockerfile can get at the build contexts of others on the same engine: one
workspace per engine.
"""
