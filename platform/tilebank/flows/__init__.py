"""Stages composed into runs. The only place that knows Ray."""
