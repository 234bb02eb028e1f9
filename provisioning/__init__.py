"""The domain of provisioning, without HTTP, GraphQL and the broker."""
