"""``python -m backends.spark``: write the committed views anew, from DuckDB's and the schema."""

from __future__ import annotations

from pathlib import Path

from backends.spark.views import scripts
from backends.vocabulary import Vocabulary

if __name__ == "__main__":
    home = Path(__file__).parent
    schema = home.parent.parent / "schemas" / "event.schema.json"
    for name, text in scripts(Vocabulary.load(schema)).items():
        (home / "views" / name).write_text(text, encoding="utf-8", newline="\n")
