"""Which builder the local stack uses: variables in dev/.env, asked for once, tried, and turned into its sections.

`dev/setup-build-backend` writes the file (`__main__`), `make up` and `make compose` read it (`run`).
"""
