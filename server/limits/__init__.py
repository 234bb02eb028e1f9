"""Limits on documents, query cost, request rate, concurrency."""
