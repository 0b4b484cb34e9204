"""What the predictor gets of an item, and what is kept of its output: filters and the join. Pure.

languages (jsonpath, jmespath: each a filter), documents (payloads as values), shaping (a job's, compiled once).
"""
