"""Which images may be deleted: `rules` decides (pure), `queries` takes them from the rows that name them."""
