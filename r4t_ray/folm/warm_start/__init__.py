"""The warm start: supervised training on answers that are built from the training sets."""
