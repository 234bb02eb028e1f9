"""The checks that every adapter has to pass, for whoever writes one. ``docs/adapters.md`` explains them."""
