"""Worker processes: claim, perform and record moves. Dramatiq is only the transport of wake-ups."""
