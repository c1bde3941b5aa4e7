"""The run store's routes, one resource of LangSmith's API a file; `router.py` joins them."""
