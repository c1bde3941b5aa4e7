"""The engines that fine-tune: every server of OpenAI's shape, the embedded one among them."""
