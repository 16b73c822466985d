"""Work out what has to change, and check it against the limits."""
