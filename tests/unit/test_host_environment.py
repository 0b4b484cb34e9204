"""What a predictor's process finds in its environment."""

import pytest

from stream_infer.engine.host import environment_of_child


def test_a_predictor_finds_what_is_there_but_for_our_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {
        "STREAM_INFER_API_KEY": "si_1_x",
        "STREAM_INFER__KAFKA__SECURITY__PASSWORD": "p",
        "STREAM_INFER__KAFKA__SECURITY__OAUTH__CLIENT_SECRET": "s",
        "STREAM_INFER__KAFKA__SECURITY__PRIVATE_KEY_PASSWORD": "k",
        "STREAM_INFER__KAFKA__SECURITY": "{password: p}",
    }
    kept = {
        "AWS_SECRET_ACCESS_KEY": "a predictor may want it",
        "MY_PASSWORD": "its own",
    }
    for name, text in {**ours, **kept}.items():
        monkeypatch.setenv(name, text)
    found = environment_of_child()
    assert kept.items() <= found.items()
    assert not ours.keys() & found.keys()
