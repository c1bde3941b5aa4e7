"""Routes of the page: one module per section; the modules of `page/` render their content."""
