"""One module per command of `sealift`, imported when the command is invoked."""
