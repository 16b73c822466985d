"""Bring the rows of a run into the ledger, and show what would be sent."""
