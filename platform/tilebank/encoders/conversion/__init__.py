"""Convert a checkpoint that was published as a pickle to safetensors, once."""
