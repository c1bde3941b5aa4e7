"""The page's routes, one area of the page a file; `page/` above holds what they show."""
