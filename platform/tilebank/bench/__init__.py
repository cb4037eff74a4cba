"""Side-by-side timings of the platform's parts; only `jobs/bench.py` imports this package."""
