"""Writes every page anew, and says which ones have changed."""

import sys

from docs_made.generated import ROOT, generated

for path, text in generated().items():
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
