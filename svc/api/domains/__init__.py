"""The checks of domains: asks DNS when a row is due, and acts on what it says."""
