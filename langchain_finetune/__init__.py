"""Turn the chats your LangChain app really had into a fine-tuned model of your own."""
