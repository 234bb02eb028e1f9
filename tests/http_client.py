"""The HTTP client of the tests: it uses no proxy and has a new connection for each request, as other clients do."""

import httpx

HTTP = httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
"""One for all tests. A new client, which httpx.get makes too, loads all certificate authorities first: 24 ms."""
