"""Where chats come from: each loader is a `BaseChatLoader` and a Runnable."""
