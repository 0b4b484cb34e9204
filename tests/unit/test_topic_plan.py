import pytest

from stream_infer.kafka.topic_plan import Action, ExistingTopic, mismatch, plan_topics
from stream_infer.topics import TopicSpec

ITEMS = TopicSpec("p.a.items", 4, fixed=False, config={"cleanup.policy": "delete"})
JOBS = TopicSpec("p.jobs", 4, fixed=True, config={"cleanup.policy": "compact"})


def existing(spec, partitions=4, replication_factor=1, **config):
    return ExistingTopic(spec.name, partitions, replication_factor, {**spec.config, "retention.ms": "1", **config})


def step(spec, topic):
    plan = plan_topics([spec], {} if topic is None else {topic.name: topic}, replication_factor=1)
    return plan.steps[0]


@pytest.mark.parametrize(
    ("spec", "topic", "action"),
    [
        (ITEMS, None, Action.CREATE),
        (JOBS, None, Action.CREATE),
        (ITEMS, existing(ITEMS), Action.OK),
        (JOBS, existing(JOBS), Action.OK),
        (ITEMS, existing(ITEMS, 2), Action.GROW),
        (ITEMS, existing(ITEMS, **{"cleanup.policy": "compact"}), Action.ALTER),
        (ITEMS, existing(ITEMS, 5), Action.REFUSE),
        (JOBS, existing(JOBS, 2), Action.REFUSE),
        (JOBS, existing(JOBS, 5), Action.REFUSE),
        (ITEMS, existing(ITEMS, replication_factor=3), Action.REFUSE),
    ],
)
def test_each_difference_has_its_action(spec, topic, action):
    assert step(spec, topic).action is action


def test_a_topic_may_grow_and_change_its_settings_at_once():
    found = step(ITEMS, existing(ITEMS, 2, **{"cleanup.policy": "compact"}))

    assert found.grow_to == 4
    assert found.alter == {"cleanup.policy": ("compact", "delete")}
    assert found.describe() == "partitions: 2 -> 4, cleanup.policy: compact -> delete"


def test_settings_that_nobody_asked_for_are_left_alone():
    assert step(ITEMS, existing(ITEMS, **{"retention.ms": "123"})).action is Action.OK


def test_a_refusal_says_what_there_is_what_is_wanted_and_what_to_do():
    assert step(JOBS, existing(JOBS, 2)).refusal == (
        "p.jobs has 2 partitions, the configuration wants 4. Its records are keyed by job and would no longer be "
        "found: set jobs.partitions back to 2, or use another kafka.topic_prefix."
    )


def test_a_plan_is_done_when_every_topic_is_as_asked():
    assert plan_topics([ITEMS, JOBS], {t.name: t for t in (existing(ITEMS), existing(JOBS))}, 1).is_done
    assert not plan_topics([ITEMS, JOBS], {ITEMS.name: existing(ITEMS)}, 1).is_done


@pytest.mark.parametrize(
    ("spec", "partitions", "is_fine"),
    [(ITEMS, 4, True), (ITEMS, 9, True), (ITEMS, 3, False), (JOBS, 4, True), (JOBS, 9, False), (JOBS, 3, False)],
)
def test_a_role_works_with_more_partitions_only_where_their_number_is_free(spec, partitions, is_fine):
    assert (mismatch(spec, partitions) is None) is is_fine
