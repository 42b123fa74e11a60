"""Typed configuration from TOML, and the files that secrets lie in.

A service declares one frozen `Strict` struct with a section per part and reads it with `load`. `Secret` is text that
does not show itself. `describe` lists every key for the reference page. Sections that several services share are in
`pkg.config.sections`; key files are made and read by `pkg.config.secret_files`.

Fails with `ConfigError`, which names *every* problem of a file at once by its TOML path. No message holds the value
of a secret or of an environment variable.

A field whose type is a union of sections is one part with several implementations: the key `backend` in its table
chooses the section, and with it the other keys that are allowed (`DiskConfig | S3Config`).
"""

from pkg.config.base import ConfigError, Secret, Strict, secrets_of
from pkg.config.describe import KeyDoc, describe
from pkg.config.load import load
from pkg.config.secret_files import ensure_key_file, ensure_secret_file, read_secret_file, read_secret_text
from pkg.config.shape import backend_names

__all__ = [
    "ConfigError",
    "KeyDoc",
    "Secret",
    "Strict",
    "backend_names",
    "describe",
    "ensure_key_file",
    "ensure_secret_file",
    "load",
    "read_secret_file",
    "read_secret_text",
    "secrets_of",
]
