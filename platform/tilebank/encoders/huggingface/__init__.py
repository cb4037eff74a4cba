"""Vision networks of the transformers library as encoders."""
