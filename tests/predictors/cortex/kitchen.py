"""A realtime predictor of the last generation: a Handler."""


class Handler:
    def __init__(self, config):
        self.kinds = config["kinds"]

    def handle_post(self, payload, headers):
        if isinstance(payload, bytes):
            return payload[::-1]
        kind = self.kinds[payload["url"].rpartition("/")[2]]
        return {"kind": kind, "for": headers["x-table"]} if "x-table" in headers else kind
