"""Side-by-side timings of the platform's parts; only `tilebank bench` imports this package."""
