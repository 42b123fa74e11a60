"""Promise: the schema is brought to the newest revision, and a start without news costs one question."""

import sqlite3
import subprocess
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from pkg.db import create_engine, migrate


def test_file_names_say_what_the_newest_revision_is() -> None:
    """The number in the last file's name is the head of Alembic's chain."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [migrate.newest()]


def test_alembic_is_loaded_only_to_migrate(tmp_path: Path) -> None:
    """A database at the newest revision is left alone, by a process that never loads Alembic."""
    url = f"sqlite:///{tmp_path}/control.db"
    engine = create_engine(url)
    assert migrate.revision(engine) is None
    migrate.upgrade(engine)
    assert migrate.revision(engine) == migrate.newest()
    engine.dispose()
    again = (
        "import sys; from pkg.db import create_engine, migrate; "
        f"migrate.upgrade(create_engine({url!r})); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_output_that_was_kept_before_it_was_redacted_goes(tmp_path: Path) -> None:
    """What apps printed may hold sealed values: an upgrade removes it, reasons stay, and the file forgets the bytes."""
    path = tmp_path / "control.db"
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
    said = "the app exited with code 9. Last log lines:\nlogin with hunter2-hunter2"
    before = sqlite3.connect(path)  # without foreign keys: one row of each table is enough
    with before:
        before.execute("INSERT INTO deployment_steps VALUES ('d', 'deploying', 1, NULL, ?)", (said,))
        before.execute(
            "INSERT INTO instances (region, deployment_id, replica, instance_id, state, reason, exit_code,"
            " log_tail_json, last_probe, image_id, restarts, observed_at)"
            " VALUES ('r', 'd', 0, 'i', 'failed', 'why', 9, ?, '', '', 0, 1)",
            ('["hunter2-hunter2"]',),
        )
    before.close()
    migrate.upgrade(engine)
    with engine.connect() as connection:
        error = connection.exec_driver_sql("SELECT error FROM deployment_steps").scalar_one()
        rows = connection.exec_driver_sql("SELECT reason, log_tail_json FROM instances").all()
    engine.dispose()
    assert error == "the app exited with code 9."
    assert rows == [("why", "[]")]
    assert b"hunter2" not in path.read_bytes()
