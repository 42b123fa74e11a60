"""What click needs beyond its own: groups of commands, shared options, parameter types, usage errors in one line."""
