"""Bulk user updates from spreadsheets: planned, paced, and accounted for row by row."""
