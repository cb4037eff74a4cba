"""Search a head: trials, packs, the champion, its evaluation and its report."""
