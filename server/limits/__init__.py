"""Limits on what one caller can ask for."""
