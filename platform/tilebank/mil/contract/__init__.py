"""What every head implements, takes and returns."""
