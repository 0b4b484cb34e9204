"""The pages of docs/ that are made from the code: `python -m docs_made` writes them anew, a test compares."""
