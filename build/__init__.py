"""Entry points and packaging of the services."""
