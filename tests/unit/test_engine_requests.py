"""A payload with the headers and the query of its request, for the predictors that want to see them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.engine.codec import decoder_for
from stream_infer.engine.requests import pack_request, unpack_request
from stream_infer.errors import UndecodableItem
from stream_infer.predictors.protocol import Request
from stream_infer.records import JSON, REQUEST

TEXTS = st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=20)


@given(st.binary(max_size=50), TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=5), TEXTS)
def test_what_is_packed_comes_out_as_it_was(body, content_type, headers, query):
    assert unpack_request(pack_request(body, content_type, headers, query)) == (body, content_type, headers, query)


def test_the_predictor_gets_the_payload_decoded_and_what_came_with_it():
    data = pack_request(b'{"a": 1}', JSON, {"x-user": "me"}, "debug=1")
    assert decoder_for(REQUEST)(data) == Request({"a": 1}, JSON, {"x-user": "me"}, "debug=1")
    assert decoder_for(REQUEST)(memoryview(pack_request(b"\xff", "image/png", {}, ""))).payload == b"\xff"


@given(st.binary(max_size=60))
def test_anything_else_under_that_type_is_undecodable(data):
    with pytest.raises(UndecodableItem):
        decoder_for(REQUEST)(data)


def test_a_request_in_a_request_and_a_payload_that_is_none_are_undecodable():
    for inner in (pack_request(b"1", JSON, {}, ""), b"{"):
        with pytest.raises(UndecodableItem):
            decoder_for(REQUEST)(pack_request(inner, REQUEST if inner != b"{" else JSON, {}, ""))
