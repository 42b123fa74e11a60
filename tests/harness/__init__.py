"""A real stack for tests: the supervisor with every part, the real CLI, small real apps, and a load generator."""
