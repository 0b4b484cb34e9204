"""A realtime predictor of the second generation: a class, with whatever arguments it cares for."""


class PythonPredictor:
    def __init__(self, config):
        self.kinds = config["kinds"]

    def predict(self, payload, query_params):
        kind = self.kinds[payload["url"].rpartition("/")[2]]
        return {"kind": kind, "lang": query_params.get("lang")} if query_params else kind
