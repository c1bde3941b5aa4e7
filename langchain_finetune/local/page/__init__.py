"""The page of the engine: what is in it, for people, in a browser.

Rendered on the server; its assets lie in this package, and it needs no network.
"""

from langchain_finetune.local.page.engine_parts import EngineParts as EngineParts
from langchain_finetune.local.page.router import create_page_router as create_page_router
