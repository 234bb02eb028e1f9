"""The built-in tenant runtime: serves the host names of tenants, as a part of the API process."""
