"""EMBED Open Data (Emory): the adapter, and the rules that turn clinical rows into facts about breasts."""
