"""Speak the platform's API."""
