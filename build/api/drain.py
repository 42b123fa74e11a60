"""Holds new work back where no supervisor runs: `python -m build.api.drain`. In the image of the api."""

import sys

from svc.api.drain import main

if __name__ == "__main__":
    sys.exit(main())
