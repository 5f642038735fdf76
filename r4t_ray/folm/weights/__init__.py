"""The transport of the learner's weights to the engines: by files, or from memory."""
