"""The checks, a file for each rule and one for what is a single port's own. pytest collects them."""
