"""Ctrl-C for processes that tests start."""

import signal


def hear_ctrl_c() -> None:
    """To be run in the child before its program: what a shell starts in the background is deaf to it, and so are its
    children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
