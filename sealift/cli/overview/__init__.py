"""An environment on one screen: what is read of it, and its text."""
