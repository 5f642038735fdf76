"""What every call of another server needs: chats with a language model, waits that a server asks for, this machine."""
