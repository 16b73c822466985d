"""Send changes to the platform: rate-limited, retried, verified."""
