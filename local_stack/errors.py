"""What keeps the local stack from running, said to the person at the terminal."""


class StackError(Exception):
    """The stack cannot start or go on. The message is complete: what is wrong, and what to do where that is known."""
