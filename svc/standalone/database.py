"""Whether the files of the databases are whole and their disk has room: told at a start and in `status`."""

import contextlib
import os
import sqlite3

from svc.standalone.statedir import StateDir

BUSY_TIMEOUT_S = 0.5
# A check reads every page.
CHECKED_MAX_BYTES = 64 << 20
FULL_BELOW_BYTES = 1 << 20


def notes(state: StateDir) -> list[str]:
    """What whoever looks at `status` is to know of them; none when all is well."""
    return [note for note in (disk_note(state), control_problem(state), telemetry_note(state)) if note]


def control_problem(state: StateDir) -> str:
    """What is wrong with control.db, and what to do; "" when nothing is, or there is none yet."""
    path = state.root / "control.db"
    why = ""
    try:
        if not path.exists():
            return ""
        if not path.is_file():
            why = "it is no file"
        else:
            uri = f"file:{path}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as opened:
                check = "quick_check(1)" if path.stat().st_size <= CHECKED_MAX_BYTES else "schema_version"
                found = opened.execute(f"PRAGMA {check}").fetchone()[0]
                why = "" if isinstance(found, int) or found == "ok" else str(found).strip().splitlines()[-1]
    except sqlite3.OperationalError:
        return ""  # locked, or a full disk: the api says what it is
    except (sqlite3.Error, OSError) as error:
        why = str(error)
    if not why:
        return ""
    return (
        f"{path} is damaged ({why}): api and worker don't start with it, and nothing replaces it. Apps go on as they "
        "are. Restore a backup: docs/operating.md, Backup and restore."
    )


def telemetry_note(state: StateDir) -> str:
    """That build logs were set aside; "" when none were."""
    # as `pkg.telemetry.damage` names them, which would load a database library here
    found = sorted(each.name for each in state.root.glob("telemetry.db.damaged-*Z"))
    return f"telemetry.db was damaged; older build logs are in {found[-1]}, which may be deleted." if found else ""


def disk_note(state: StateDir) -> str:
    """That the disk of the state directory is full; "" while it is not."""
    found = os.statvfs(state.root)
    if found.f_bavail * found.f_frsize >= FULL_BELOW_BYTES and (found.f_favail or not found.f_files):
        return ""
    return (
        f"the disk of {state.root} is full: what is live goes on, nothing can be recorded. Free space there; the "
        "services go on by themselves."
    )
