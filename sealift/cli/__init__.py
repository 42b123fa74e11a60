"""The command line `sealift`.

Three layers: `commands` parse options and format output, `sealift.client` talks to the server, `project_file` reads the
typed configuration. Commands are imported when they are invoked, and only those that need gRPC, rich and asyncio import
them, so `--help` takes little longer than starting the interpreter.

stdout contains data, stderr messages for people. The exit code is the outcome; `exit_codes.ExitCode` lists them all.
"""
