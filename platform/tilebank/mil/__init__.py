"""Multiple-instance learning on stored vectors: ragged bags, pooling, heads, and fitting a pack of heads at once.

Needs torch, numpy and safetensors; knows nothing of images, tables, Ray or MLflow. Shapes, in every file here:
T trial (head of a pack), B breast (bag), N instance of any bag, Nv view, Nt tile, D encoder dimension, C channel.
"""
