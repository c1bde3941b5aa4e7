"""Two walkthroughs of the package with a sample app."""
