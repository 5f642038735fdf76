"""Rollouts: Ray actors that sample answers and score them."""
