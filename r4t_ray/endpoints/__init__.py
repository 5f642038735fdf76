"""Calls of other servers: addresses, chats with a language model, and the waits that a server asks for."""
