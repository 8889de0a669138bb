"""What the network is told besides codes: the context of a chunk."""
