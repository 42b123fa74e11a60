"""Bazel's BUILD files, generated from what the Python files import, and the lock files next to them. `make bazel`.

`sources` reads files, `graph` joins them into targets, `render` writes a BUILD file as buildifier would. All three are
pure; `generate` is the command. A first-party module or a wheel that cannot be found is an error that names the import.
"""
