"""The champion head: its card, its files, loading it, importing a published one."""
