"""What the api does for jobs beside calls: it ends those whose region did not."""
