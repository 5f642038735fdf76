"""The learner: Soft-GRPO inside Ray Train."""
