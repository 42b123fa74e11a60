"""The command line `sealift`.

`commands` has a module for each command, `parsing` what click needs for them, `project` the typed configuration,
`deploy` the work of `deploy` and `build`, `format` and `output` what is shown; `sealift.client` talks to the server.
Commands are imported when they are invoked, and only those that need gRPC, rich and asyncio import them, so `--help`
takes little longer than starting the interpreter.

stdout contains data, stderr messages for people. The exit code is the outcome; `exit_codes.ExitCode` lists them all.
"""
