"""Releases: which version is next, what changed, is a tag fit to be released, and the steps of the release workflows.

`tags` and `notes` are pure; `repository` is git; `closure` says which files an image depends on; `image` reads an OCI
layout, `sbom` lists what is in it; `registry` and `github` talk to those services. `python -m dev.releasing` is for
people (`dev/release`), `python -m dev.releasing.ci` for workflows. Only the standard library: nothing is to be
installed before a tag was checked. Every failure is a `ReleaseError` that says what to do.
"""
