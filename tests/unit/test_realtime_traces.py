"""A replica tells of the requests that bear a sampled trace, each once, however it ends."""

import pytest

from stream_infer.realtime.messages import Reply, Request
from stream_infer.realtime.traces import TracedAnswers
from tests.support.traces import SENT, SPAN, TRACE, kept_spans, traceparent


class Answers:
    """Replies to what it is told to; at once where the status is given."""

    def __init__(self, status=None):
        self.status = status
        self.asked = []
        self.left = []

    def answer(self, request, asker):
        self.asked.append(asker)
        if self.status is None:
            return len(self.asked)
        asker.reply(Reply(self.status, None, b""))
        return 0

    def leave(self, token):
        self.left.append(token)


class Asker:
    def __init__(self):
        self.replies = []

    def reply(self, reply):
        self.replies.append(reply.status)


@pytest.fixture
def told():
    with kept_spans() as spans:
        yield spans


def request(said):
    return Request(b"POST", b"/v1/apis/a/predict", {} if said is None else {b"traceparent": said.encode()}, b"1")


@pytest.mark.parametrize(("status", "error"), [(200, None), (429, None), (500, "500")])
def test_a_request_is_a_span_in_its_trace(told, status, error):
    asker = Asker()
    TracedAnswers(Answers(status), "a").answer(request(SENT), asker)

    [span] = told()
    assert (span.name, span.kind, span.trace_id, span.parent) == ("predict a", "server", TRACE, SPAN)
    assert (span.attributes["http.response.status_code"], span.error) == (status, error)
    assert asker.replies == [status]


def test_it_ends_with_the_reply_or_with_whoever_asked(told):
    real = Answers()
    answers = TracedAnswers(real, "a")
    tokens = [answers.answer(request(traceparent(number)), Asker()) for number in range(2)]
    assert told() == []
    real.asked[0].reply(Reply(200, None, b""))
    answers.leave(tokens[0])
    answers.leave(tokens[1])
    answers.leave(tokens[1])

    assert [(span.trace_id[-1], span.error) for span in told()] == [("1", None), ("2", "gone")]
    assert real.left == [1, 2, 2]


@pytest.mark.parametrize("said", [None, "garbage", traceparent(1, sampled=False)])
def test_other_requests_are_passed_on_as_they_are(told, said):
    real, asker = Answers(), Asker()
    TracedAnswers(real, "a").answer(request(said), asker)

    assert real.asked == [asker]
    assert told() == []
