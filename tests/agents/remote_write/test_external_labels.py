"""External labels stand on every series that says nothing under their names itself."""

from __future__ import annotations

from tests.agents.remote_write.messages import Message, config, sent


def test_an_attribute_without_a_value_takes_no_external_label_away() -> None:
    message = Message()
    message.counter(1, env="")
    message.gauge(0.5)
    found = sent(message, to=config(external_labels={"env": "prod", "none": ""})).samples
    assert [dict(each.labels)["env"] for each in found] == ["prod", "prod"]
    assert not any("none" in dict(each.labels) for each in found)
