"""Which values of an environment are taken out of what its app prints. Pure."""

from collections.abc import Collection, Iterator, Mapping

from pkg.output.forms import MIN_SECRET_BYTES

MIN_DIGITS = 6  # shorter numbers are ports, counts and years
# Values that many apps have and every log is full of: masking them makes logs unreadable, showing them reveals nothing.
ORDINARY = frozenset({
    "true", "false", "none", "null", "auto", "default", "enabled", "disabled", "production", "development", "staging",
    "preview", "test", "testing", "local", "localhost", "debug", "info", "warn", "warning", "error", "critical",
    "trace", "verbose", "json", "text", "http", "https", "utf-8", "utf8", "c.utf-8", "en_us.utf-8", "europe", "0.0.0.0",  # noqa: S104 - a word here
    "127.0.0.1", "main", "master", "sqlite", "postgres", "postgresql", "mysql", "redis", "memory", "stdout", "stderr",
    "node", "python", "rails", "default.settings",
})  # fmt: skip


def secret_values(variables: Mapping[str, str], plain: Collection[str] = ()) -> Iterator[bytes]:
    """The values to redact, as `pkg.output.redact.Redactor` wants them.

    Not those of variables named in `plain`, which were set to be seen; nor values of fewer than 4 bytes, numbers of
    fewer than 6 digits, and common words: see docs/limits.md.
    """
    for name, value in variables.items():
        bare = value.strip()
        if name in plain or len(bare.encode(errors="replace")) < MIN_SECRET_BYTES or bare.lower() in ORDINARY:
            continue
        if bare.isdecimal() and len(bare) < MIN_DIGITS:
            continue
        yield value.encode(errors="replace")
