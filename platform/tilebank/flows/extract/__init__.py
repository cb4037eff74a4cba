"""Encode the images of a dataset once; look at them beforehand."""
