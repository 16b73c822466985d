"""Send changes to the platform: paced, retried, verified."""
