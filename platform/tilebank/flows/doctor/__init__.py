"""A check-up of an installation: each finding with the way to mend it."""
