"""The scale of the proofs: a selection by default, everything with ``TENANTRY_CONFORMANCE=full``."""

import os

FULL = os.environ.get("TENANTRY_CONFORMANCE") == "full"
"""Read at import: the fixtures of the tests remove the product's variables from the environment later."""
