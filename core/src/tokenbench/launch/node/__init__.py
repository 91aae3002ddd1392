"""The node agent: one small program on each host of a deployment, and bench's side of it."""
