"""List, verify, compact, index and clean the store."""
