"""What the OpenAPI document says of webhooks."""

from __future__ import annotations

from typing import Any

from stream_infer.gateway.openapi_parts import json_answer, operation, query_parameter, ref, whole
from stream_infer.gateway.webhooks.bodies import DeliveryList, TellAgain, ToldAgain
from stream_infer.http.requests import JSON_TYPE
from stream_infer.webhooks import DeliveryState


def webhook_paths() -> dict[str, Any]:
    text = {"type": "string"}
    states = {"type": "string", "enum": [state.value for state in DeliveryState]}
    return {
        "/v1/webhooks": {
            "get": operation(
                "listWebhooks",
                "List what was told of jobs' ends, the newest first",
                {"200": json_answer("Events, and how far the telling of each has come.", DeliveryList)},
                [
                    query_parameter("limit", "At most as many.", whole(1, 1000, 100)),
                    query_parameter("after", "The last event's id of the page before.", text),
                    query_parameter("job_id", "Only those of this job.", text),
                    query_parameter("api", "Only those of this API.", text),
                    query_parameter("state", "Only those in this state.", states),
                ],
            )
        },
        "/v1/webhooks/replay": {
            "post": operation(
                "replayWebhooks",
                "Tell events again, under the ids that they had",
                {"202": json_answer("They are told again, as soon as may be.", ToldAgain)},
                body={JSON_TYPE: {"schema": ref(TellAgain)}},
            )
        },
    }
