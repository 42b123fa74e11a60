"""Compiles modules for an image: `bytecode.py LIST`, whose lines are SOURCE, PLACE and OUT, set apart by tabs.

A build step: only the standard library, the same bytes for the same inputs.
"""

import py_compile
import sys
from pathlib import Path


def compile_all(lines: list[str]) -> None:
    """Writes the bytecode of each SOURCE, which is PLACE in the image (no leading slash), to OUT.

    It is believed unseen, without a look at the source: an image does not change. One that is for another version of
    Python is passed over at its import.

    Raises:
        py_compile.PyCompileError: A source is no Python.
        ValueError: A line has not three parts.
    """
    for line in lines:
        source, place, out = line.split("\t")
        py_compile.compile(
            source,
            cfile=out,
            dfile=f"/{place}",  # else the folder of the build would be in it
            doraise=True,
            optimize=0,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


if __name__ == "__main__":
    compile_all(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines())
