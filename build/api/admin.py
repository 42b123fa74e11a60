"""Offline administration: `python -m build.api.admin restored|check|installation`. In the image of the api."""

import sys

from svc.api.admin import main

if __name__ == "__main__":
    sys.exit(main())
