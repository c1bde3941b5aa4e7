"""The gate in the chain: held-out cases, both outcomes, a real engine and training."""
