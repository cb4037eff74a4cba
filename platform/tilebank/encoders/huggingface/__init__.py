"""Vision towers of the transformers library as encoders."""
