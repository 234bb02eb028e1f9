"""Checks of the contract that every adapter must keep. ``docs/adapters.md`` explains them."""
