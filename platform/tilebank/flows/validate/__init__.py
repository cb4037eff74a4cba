"""Say what an extraction would do with every file, and why."""
