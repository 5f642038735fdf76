"""``python -m benchmarks.tables``: write the marked tables of README.md and docs/ from benchmarks/results."""

from __future__ import annotations

from benchmarks.tables.pages import pages, with_tables


def main() -> None:
    """Write each page whose tables are not those of the results, and say which."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        new = with_tables(text)
        if new != text:
            page.write_text(new, encoding="utf-8")
            print(f"{page.name}: tables written")


if __name__ == "__main__":
    main()
