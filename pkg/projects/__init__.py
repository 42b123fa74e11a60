"""Projects: rows, and the rule for their slugs."""
