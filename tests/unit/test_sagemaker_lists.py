"""A page of ListTransformJobs and ListModels: filters, order, and what comes and goes between two pages."""

import base64
import json

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.gateway.sagemaker.lists import Entry, ListModels, ListTransformJobs, page_of
from stream_infer.gateway.validation import validate
from stream_infer.http.problems import Problem

STATUSES = ("InProgress", "Completed", "Failed", "Stopping", "Stopped")


def entry(name: str, created: float = 1.0, modified: float = 1.0, status: str = "Completed") -> Entry[str]:
    return Entry(name, name, created, modified, status)


THREE = [entry("b", 1.0, 5.0), entry("a", 2.0, 9.0, "Failed"), entry("c", 3.0, 3.0)]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, "cab"),
        ({"SortOrder": "Ascending"}, "bac"),
        ({"SortBy": "Name"}, "cba"),
        ({"SortBy": "Name", "SortOrder": "Ascending"}, "abc"),
        ({"SortBy": "Status"}, "acb"),
        ({"NameContains": "a"}, "a"),
        ({"NameContains": "A"}, ""),
        ({"StatusEquals": "Completed"}, "cb"),
        ({"StatusEquals": "Stopped"}, ""),
        ({"CreationTimeAfter": 1.0}, "ca"),
        ({"CreationTimeBefore": 3}, "ab"),
        ({"CreationTimeAfter": 1, "CreationTimeBefore": 3.0}, "a"),
        ({"LastModifiedTimeAfter": 3.0}, "ab"),
        ({"LastModifiedTimeBefore": 9.0}, "cb"),
        ({"MaxResults": 2}, "ca"),
    ],
)
def test_what_is_asked_for_is_listed_in_its_order(asked: dict[str, object], names: str):
    page = page_of(THREE, validate(ListTransformJobs, asked))
    assert "".join(page.entries) == names
    assert (page.token is None) == ("MaxResults" not in asked)


@given(
    st.lists(
        st.tuples(st.text("ab-9", min_size=1, max_size=3), st.floats(0, 3), st.sampled_from(STATUSES)),
        unique_by=lambda one: one[0],
    ),
    st.sampled_from(["Name", "CreationTime", "Status"]),
    st.sampled_from(["Ascending", "Descending"]),
    st.integers(1, 3),
)
def test_all_pages_together_are_the_list(rows: list[tuple[str, float, str]], by: str, order: str, size: int):
    entries = [entry(name, created, 1.0, status) for name, created, status in rows]
    place = {
        "Name": lambda one: one.name,
        "CreationTime": lambda one: (one.created, one.name),
        "Status": lambda one: (one.status, one.name),
    }[by]
    asked, seen = {"SortBy": by, "SortOrder": order, "MaxResults": size}, []
    while True:
        page = page_of(entries, validate(ListTransformJobs, asked))
        assert 0 < len(page.entries) <= size or not entries
        seen += page.entries
        if page.token is None:
            break
        asked["NextToken"] = page.token
    assert seen == [one.name for one in sorted(entries, key=place, reverse=order == "Descending")]


def test_what_comes_and_goes_between_two_pages_shifts_nothing():
    first = page_of(THREE, validate(ListTransformJobs, {"MaxResults": 1}))
    assert (first.entries, first.more) == (["c"], {"NextToken": first.token})

    later = [entry("d", 9.0), entry("b", 1.0), entry("a", 2.0)]  # c has gone, from which the next page goes on
    second = page_of(later, validate(ListTransformJobs, {"MaxResults": 5, "NextToken": first.token}))
    assert (second.entries, second.more) == (["a", "b"], {})


def test_a_token_is_of_one_order():
    token = page_of(THREE, validate(ListModels, {"MaxResults": 1})).token
    for asked in (
        {"SortOrder": "Ascending", "NextToken": token},
        {"SortBy": "Name", "NextToken": token},
        {"NextToken": "x"},
        {"NextToken": "é"},
        {"NextToken": base64.urlsafe_b64encode(b'["CreationTime", "Descending", "soon", "c"]').decode()},
        {"NextToken": base64.urlsafe_b64encode(json.dumps([1]).encode()).decode()},
        {"NextToken": base64.urlsafe_b64encode(b"[" * 5000).decode()},
    ):
        with pytest.raises(Problem, match="/NextToken: is none of a list that is sorted so"):
            page_of(THREE, validate(ListModels, asked))


@pytest.mark.parametrize(
    "asked", [{"MaxResults": 0}, {"MaxResults": 101}, {"NameContains": "a_b"}, {"SortBy": "Status"}, {"Status": "x"}]
)
def test_what_no_list_has_is_refused(asked: dict[str, object]):
    with pytest.raises(Problem):
        validate(ListModels, asked)


def test_every_field_of_sagemakers_requests_is_known():
    shapes = botocore.session.get_session().get_service_model("sagemaker")
    for kind in (ListModels, ListTransformJobs):
        assert set(shapes.operation_model(kind.__name__).input_shape.members) == set(kind.model_fields)
        for name in ("SortBy", "SortOrder", "StatusEquals"):
            shape = shapes.operation_model(kind.__name__).input_shape.members.get(name)
            said = kind.model_json_schema()["properties"].get(name, {})
            assert (None if shape is None else shape.enum) in (
                None,
                said.get("enum"),
                said.get("anyOf", [said])[0].get("enum"),
            )
