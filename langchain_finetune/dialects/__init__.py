"""Pure readers of stored chats, one shape a file."""
