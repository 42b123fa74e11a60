"""The command line `sealift`.

Three layers: the commands (`commands`, which format), the client (`sealift.client`, which talks) and the project file
(`project_file`, typed configuration). Commands are imported when they are invoked, and gRPC, rich and asyncio
only by those that need them, so `--help` costs little more than the interpreter.

stdout is data, stderr is for people. The exit code is the verdict; `exit_codes.ExitCode` lists them all.
"""
