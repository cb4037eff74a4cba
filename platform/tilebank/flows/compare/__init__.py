"""Compare the champions of finished searches on the same test breasts."""
