"""Who may do what with the engine: its key, the page's sessions, and requests of other sites."""
