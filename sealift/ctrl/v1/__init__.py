"""Version 1 of the control plane's API."""
