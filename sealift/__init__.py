"""The package that users install: the command line (`cli`), the client (`client`) and the generated stubs (`ctrl`).

Imports nothing from `pkg` or `svc`.
"""

__version__ = "0.1.0"
