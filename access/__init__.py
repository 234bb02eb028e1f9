"""Access management: who may do what."""
