"""Envoy's command line."""

from pathlib import Path


def command(
    binary: Path,
    config_path: Path,
    *,
    base_id: int | None = None,
    concurrency: int = 2,
    log_level: str = "warning",
) -> list[str]:
    """The argument list that starts Envoy in the foreground, logging to stderr.

    Args:
        binary: From `find_binary`.
        config_path: The bootstrap as a JSON file (its name must end in .json).
        base_id: Separates the shared memory of several Envoys of one machine. None turns hot restart off: there is then
            no shared memory, and any number of Envoys run side by side.
        concurrency: Worker threads.
        log_level: trace, debug, info, warning, error, critical or off.
    """
    instance = ["--disable-hot-restart"] if base_id is None else ["--base-id", str(base_id)]
    return [
        str(binary),
        "--config-path",
        str(config_path),
        "--concurrency",
        str(concurrency),
        "--log-level",
        log_level,
        *instance,
    ]
