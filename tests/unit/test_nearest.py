"""What may have been meant by a name that there is not."""

import pytest

from stream_infer.nearest import did_you_mean, nearest


@pytest.mark.parametrize(
    ("given", "known", "near"),
    [
        ("max_batch", ["max_batch_size", "max_wait_ms"], "max_batch_size"),
        ("Max-Batch-Size", ["max_batch_size"], "max_batch_size"),
        ("line", ["None", "Line"], "Line"),
        ("image_clasifier", ["image-classifier", "shouter"], "image-classifier"),
        ("x", ["shouter"], None),
        ("x", [], None),
        ("shouter" * 100_000, ["shouter"], None),
    ],
)
def test_the_name_that_is_written_most_alike_is_near_whatever_its_case_and_dashes(given, known, near):
    assert nearest(given, known) == near


def test_a_hint_stands_behind_a_complaint():
    assert did_you_mean("shoutr", ["shouter"]) == "; did you mean shouter?"
    assert did_you_mean("x", ["shouter"]) == ""
    assert did_you_mean("x", ["shouter"], "; there is shouter") == "; there is shouter"
