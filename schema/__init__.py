"""What clients see. Import nothing here: with ``root`` in it, every import of a resolver would be a cycle."""
