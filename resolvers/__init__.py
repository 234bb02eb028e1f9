"""Resolvers: for each root field they authorize the caller, call the domain and convert the result."""
