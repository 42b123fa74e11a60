"""Builds without a Dockerfile: small rules detect what an app is and how it starts, and write the Dockerfile. Pure."""
