"""The foundation of every process: settings, database, change feed, logging."""
