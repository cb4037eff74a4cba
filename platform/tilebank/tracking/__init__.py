"""Record runs and register heads in MLflow."""
