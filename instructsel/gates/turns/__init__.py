"""What the turns of a conversation hold beside text: tools, calls and their results, reasoning."""
