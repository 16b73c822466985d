"""Hold the rows of a run and what a plan shows of them."""
