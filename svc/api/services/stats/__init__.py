"""Access figures as users see them."""
