"""Authentication of requests and connections."""
