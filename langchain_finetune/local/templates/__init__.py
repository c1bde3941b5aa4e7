"""Chat templates: what a base's own takes, what is put before it, and how it writes answers."""
