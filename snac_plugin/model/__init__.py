"""The network: segments of tokens, who sees whom, blocks, cached keys and values."""
