"""The domain of provisioning: no HTTP, no GraphQL, no broker."""
