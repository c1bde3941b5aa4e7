"""The two walkthroughs that the package has to run: an app of its own, told as code."""
