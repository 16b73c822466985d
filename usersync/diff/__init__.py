"""DesiredValues values and known values in, what must change out."""
