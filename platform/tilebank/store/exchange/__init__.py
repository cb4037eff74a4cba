"""Read and write features in the file layouts of other tools."""
