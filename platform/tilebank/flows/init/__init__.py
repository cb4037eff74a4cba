"""A configuration file for a new dataset, written after a look at its files and labels."""
