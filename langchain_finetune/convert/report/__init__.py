"""What a conversion came to: the figures, and how a terminal, a notebook and a page show them."""
