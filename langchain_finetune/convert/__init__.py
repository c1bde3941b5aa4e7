"""From sessions to training examples: each step is pure, `Convert` puts them together."""
