"""The contract of a head: its settings and methods, and what they take and return."""
