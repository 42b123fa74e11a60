"""Promise: the schema is brought to the newest revision, and a start without news costs one question."""

import subprocess
import sys
from pathlib import Path

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
