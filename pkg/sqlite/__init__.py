"""What every process does with an SQLite file: `wal` switches it to the write-ahead log."""
