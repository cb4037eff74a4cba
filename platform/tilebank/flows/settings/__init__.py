"""The whole configuration of a run as one checked, frozen tree."""
