"""The line that somebody types while messages come in, as a state: keys in, finished lines out. No terminal here."""

from __future__ import annotations

import re
import unicodedata

BREAK = "\n"
"""Inside a pasted text; Enter alone ends a line."""
SHOWN_BREAK = "⏎"
PASTE_BEGINS, PASTE_ENDS = "\x1b[200~", "\x1b[201~"
MOST_HISTORY = 100

_TOKEN = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1bO.|\x1b(?![\[O])|.", re.DOTALL)
_UNFINISHED = re.compile(r"\x1b(\[[0-9;?]*[ -/]*|O)?\Z")


class EndOfInput(Exception):
    """Ctrl-D on an empty line."""


class Editor:
    """Enough of readline for short answers: erasing, the earlier lines, pasted texts of several lines."""

    def __init__(self) -> None:
        self.text = ""
        self._rest = ""
        self._pasting = False
        self._history: list[str] = []
        self._at = 0

    def feed(self, keys: str) -> list[str]:
        """The lines that these keys finish. Raises ``EndOfInput``."""
        keys = self._rest + keys
        unfinished = _UNFINISHED.search(keys)
        self._rest = unfinished[0] if unfinished else ""
        finished: list[str] = []
        for key in _TOKEN.findall(keys[: len(keys) - len(self._rest)]):
            if (line := self._press(key)) is not None:
                finished.append(line)
        return finished

    def shown(self, columns: int) -> str:
        """The end of the text, as much as fits into so many columns."""
        text = self.text.replace(BREAK, SHOWN_BREAK)
        while _width(text) > columns:
            text = text[1:]
        return text

    def _press(self, key: str) -> str | None:
        match key:
            case "\x1b[200~" | "\x1b[201~":
                self._pasting = key == PASTE_BEGINS
            case "\r" | "\n":
                if not self._pasting:
                    return self._enter()
                self.text += BREAK
            case "\x7f" | "\x08":
                self.text = self.text[:-1]
            case "\x15":
                self.text = ""
            case "\x17":
                self.text = re.sub(r"\S*\s*\Z", "", self.text)
            case "\x04":
                if not self.text:
                    raise EndOfInput
            case "\x1b[A" | "\x1bOA":
                self._recall(-1)
            case "\x1b[B" | "\x1bOB":
                self._recall(+1)
            case _ if len(key) == 1 and (key.isprintable() or unicodedata.category(key) == "Cf"):
                self.text += key
        return None

    def _enter(self) -> str:
        line, self.text = self.text.strip(), ""
        if line and self._history[-1:] != [line]:
            self._history = [*self._history, line][-MOST_HISTORY:]
        self._at = len(self._history)
        return line

    def _recall(self, step: int) -> None:
        self._at = min(max(self._at + step, 0), len(self._history))
        self.text = self._history[self._at] if self._at < len(self._history) else ""


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
