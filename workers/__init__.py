"""Dramatiq, transport only: what wakes, claims, performs and records."""
