"""The checks, collected by pytest: one file for each rule, and one for each port with its own checks."""
