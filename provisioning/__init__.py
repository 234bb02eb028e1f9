"""The rules of provisioning: no HTTP, no GraphQL, no broker."""
