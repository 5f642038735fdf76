"""Training of the diffusion retriever: batches of pairs, the loss, the Ray Train worker, the one-step student."""
