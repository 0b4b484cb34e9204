"""The common log of many processes."""

import errno
import io

from rich.console import Console

from stream_infer.local.log_lines import LinePrinter, LineStream


def test_each_line_stands_behind_its_name_and_is_never_wrapped_or_read_as_markup() -> None:
    out = io.StringIO()
    printer = LinePrinter(Console(file=out, width=20), ["up", "gateway"], "up")
    printer("up", "everything is up")
    printer("gateway", "[bold]x[/] " + "y" * 40)
    assert out.getvalue() == f"up      | everything is up\ngateway | [bold]x[/] {'y' * 40}\n"


def test_on_a_terminal_names_have_colours_that_stay() -> None:
    out = io.StringIO()
    printer = LinePrinter(Console(file=out, force_terminal=True, color_system="standard"), ["sink"], "up")
    printer("sink", "one")
    printer("sink", "two")
    first, second = out.getvalue().splitlines()
    assert first.startswith("\x1b[")
    assert first.replace("one", "two") == second


def test_a_terminal_that_has_gone_stops_nobody() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "the terminal has gone")

    LinePrinter(Console(file=Gone()), ["sink"], "up")("sink", "one")


def test_what_is_logged_in_pieces_becomes_lines() -> None:
    lines: list[str] = []
    stream = LineStream(lines.append)
    stream.write("one\ntw")
    stream.write("o\n")
    assert lines == ["one", "two"]
