"""The ASGI process: routes, identities, protocols, health."""
