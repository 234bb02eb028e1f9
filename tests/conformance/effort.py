"""How far the proofs go: a selection by default, everything with ``TENANTRY_CONFORMANCE=full``."""

import os

FULL = os.environ.get("TENANTRY_CONFORMANCE") == "full"
"""Read when it is imported: the tests' environment has no variable of the product's but their own."""
