"""How stream-infer is run: images, a compose file, manifests. `generated.py` makes what of it follows from the code."""
