"""How the learner's weights reach the engines: by files, or from memory."""
