"""What apps print: taken from krane, and streamed to those who read it."""
