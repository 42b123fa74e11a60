"""A real stack for tests: the supervisor with all processes, the real CLI, small real apps, a load generator."""
