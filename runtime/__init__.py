"""What every process stands on: settings, the database, the change feed, logging."""
