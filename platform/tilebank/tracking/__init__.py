"""The record of runs and heads: MLflow, which lives here alone. Knows names and figures, not heads, tables or Ray."""
