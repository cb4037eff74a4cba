"""What every job shares: flags, exit status, tables, HTML pages, files written whole."""
