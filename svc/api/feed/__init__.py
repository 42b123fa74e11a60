"""The desired-state feed to krane: `reader` reads the database in whole transactions, `stream` sends."""
