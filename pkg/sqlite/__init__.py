"""What every process does with a file of SQLite, whoever owns it: `wal` switches it to the write-ahead log."""
