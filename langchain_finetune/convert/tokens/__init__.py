"""How many tokens an example has: for OpenAI's models, for local bases, or estimated."""
