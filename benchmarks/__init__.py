"""Benchmarks. Their figures depend on the machine, so compare figures of one run only."""
