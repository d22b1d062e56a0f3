"""The README's table of settings is what the program says of itself."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from inbox.cli import inbox

README = Path(__file__).parents[2] / "README.md"


def test_the_table_of_settings_is_current() -> None:
    printed = CliRunner().invoke(inbox, ["settings", "--markdown"]).output.strip()
    _, _, rest = README.read_text(encoding="utf-8").partition("<!-- settings:begin -->\n")
    table, end, _ = rest.partition("\n<!-- settings:end -->")
    assert end, "the README has a place for the table of settings"
    assert table == printed, "replace the table in README.md with the output of: inbox settings --markdown"
