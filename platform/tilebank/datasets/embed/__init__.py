"""EMBED Open Data (Emory): the adapter, and the rules from clinical rows to facts about breasts."""
