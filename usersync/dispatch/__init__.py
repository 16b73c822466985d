"""Changes in, outcomes out: paced, retried, and verified against the platform's echo."""
