"""Promises about the repository itself: import rules, what is collected, what is tracked, what is generated."""
