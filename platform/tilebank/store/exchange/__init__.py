"""Files of other tools: their layouts, reading them, writing them."""
