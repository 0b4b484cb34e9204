"""Pages that are done, and not only read: how their comments are understood."""

import re
from pathlib import Path

import pytest

from tests.support.shown_commands import Step, assert_printed, steps

TUTORIAL = (Path(__file__).parents[2] / "docs/getting-started.md").read_text()
PAGE = """\
Two files:

<!-- file: a.txt -->

```text
one

two
```

<!-- run -->

    cat a.txt
    wc a.txt

and

<!-- run, status 1 -->

    false

<!-- interrupt -->

<!-- start, until: all is there -->

    serve --all
"""


def test_each_comment_speaks_of_the_block_behind_it() -> None:
    assert steps(PAGE) == [
        Step("file", "a.txt", 0, "one\n\ntwo\n"),
        Step("run", "", 0, "cat a.txt\nwc a.txt\n"),
        Step("run", "", 1, "false\n"),
        Step("interrupt", "", 0, ""),
        Step("start", "all is there", 0, "serve --all\n"),
    ]


def test_every_block_of_commands_of_the_tutorial_is_run_or_says_why_not() -> None:
    done = {step.block for step in steps(TUTORIAL) if step.what in ("run", "start", "not run")}
    blocks = re.findall(r"^(?:    \S[^\n]*\n)+", TUTORIAL, re.MULTILINE)

    shown = {re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in blocks if not block.startswith("    def ")}
    assert {block for block in shown if re.match(r"(?:stream-infer|make|python|mkdir)\b", block)} <= done


@pytest.mark.parametrize(
    "printed",
    [
        "job    0123456789abcdef01234567\nsource\nresults  file:///0123456789abcdef01234567 (1 object, 334 bytes)\n",
        "job 0123456789abcdef01234567\nresults file:///0123456789abcdef01234567 (1 object, 1 bytes)",
    ],
)
def test_ids_and_blanks_may_differ_and_an_ellipsis_is_anything(printed: str) -> None:
    shown = "job         fedcba9876543210fedcba98\n…\nresults   file:///…fedcba9876543210fedcba98 (1 object, … bytes)\n"
    assert_printed(shown, printed)


@pytest.mark.parametrize("printed", ["results\njob 0123456789abcdef01234567", "job two\nresults 3"])
def test_another_order_and_other_words_do_not(printed: str) -> None:
    with pytest.raises(AssertionError, match="is not what was printed"):
        assert_printed("job 0123456789abcdef01234567\nresults", printed)
