"""``python -m benchmarks.tables``: write the marked tables of README.md and docs/ from benchmarks/results."""

from __future__ import annotations

from benchmarks.tables.pages import pages, with_tables


def main() -> None:
    """Write every page whose tables differ from the results, and print its name."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        new = with_tables(text)
        if new != text:
            page.write_text(new, encoding="utf-8")
            print(f"{page.name}: tables written")


if __name__ == "__main__":
    main()
