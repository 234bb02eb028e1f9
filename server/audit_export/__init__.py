"""The audit feed as a downloadable file."""
