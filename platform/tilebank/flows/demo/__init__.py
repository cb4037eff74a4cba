"""The demonstration: from synthetic mammograms to a champion head and its report, in one process."""
