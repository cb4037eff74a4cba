"""VinDr-Mammo (PhysioNet): the adapter and its annotated boxes."""
