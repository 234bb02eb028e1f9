"""Worker processes, which perform the moves of runs. Dramatiq only transports wake-ups."""
