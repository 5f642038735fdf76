"""The tool that made the shipped base model. No stage uses it."""
