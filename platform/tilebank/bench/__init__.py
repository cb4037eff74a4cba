"""Side-by-side timings of the platform's parts; imported by nothing but `tilebank bench`."""
