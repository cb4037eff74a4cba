"""Multiple-instance learning on stored vectors: ragged bags, heads, fitting, explaining.

Runs on torch, numpy and safetensors, without Ray, Lance or MLflow. Shapes, in every file here:
T trial (one head of a pack), B breast (bag), N instance of any bag, Nv view, Nt tile, D encoder dimension, C channel.
"""
