"""Ray: the cluster, the stages, the pipelines, and the process that reads one image."""
