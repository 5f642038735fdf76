"""The fan-out policy: prompt, language model and the engines that sample from it."""
