"""For tests: a real ACME server (Pebble) with its test DNS, and a real DNS server that takes updates (BIND).

All of Debian's, all on loopback, all ended when their block ends. Where they are not installed (`is_installed`), tests
are skipped, as with other programs of Debian.
"""

import shutil
from pathlib import Path

PROGRAMS = ("pebble", "pebble-challtestsrv", "named")


def find_program(name: str) -> str | None:
    """The path of a program; Debian keeps servers outside of many PATHs."""
    return shutil.which(name) or next(
        (str(path) for folder in ("/usr/sbin", "/usr/bin") if (path := Path(folder, name)).exists()), None
    )


def is_installed() -> bool:
    """Whether Debian's packages pebble and bind9 are."""
    return all(find_program(name) for name in PROGRAMS)
