"""The ring of keys from the settings: what is accepted, and that nothing of it is ever shown."""

from base64 import b64encode
from pathlib import Path

import pytest
from pydantic import SecretStr

from inbox.kernel.keys import KEY_FILE, secret_box
from inbox.kernel.secrets import BadKey, SecretBox
from inbox.kernel.settings import Settings

KEY = bytes(range(1, 33))
BASE64 = b64encode(KEY).decode()


def box_of(text: str | None, folder: Path) -> SecretBox:
    return secret_box(Settings(data_folder=folder, secret_keys=None if text is None else SecretStr(text)))


@pytest.mark.parametrize("text", [f"k1:{BASE64}", f" k1:{KEY.hex()} ", f"k1:{KEY.hex().upper()},k0:{BASE64}"])
def test_a_key_is_base64_or_hexadecimal(tmp_path: Path, text: str) -> None:
    sealed = box_of(text, tmp_path).seal(b"x", table="t", row=1, column="c")
    assert SecretBox({"k1": KEY}, "k1").open(sealed, table="t", row=1, column="c") == b"x"


def test_the_key_that_one_node_made_opens_on_another(tmp_path: Path) -> None:
    sealed = box_of(None, tmp_path).seal(b"x", table="t", row=1, column="c")
    made = (tmp_path / KEY_FILE).read_text()
    assert box_of(f"local:{made}", tmp_path / "other").open(sealed, table="t", row=1, column="c") == b"x"


@pytest.mark.parametrize(
    "text",
    [
        KEY.hex(),
        BASE64,
        f"{BASE64}:",
        f"{KEY.hex()}:k1",
        f"k1:{BASE64},{KEY.hex()}",
        f"k1:{BASE64[:-8]}",
        f"{KEY.hex()[:32]}:{KEY.hex()[32:]}",
        "k1:no base64, at all",
        "k1:ä",
        "",
    ],
)
def test_what_is_no_ring_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadKey) as refused:
        box_of(text, tmp_path)
    said = str(refused.value)
    assert "id:key" in said
    for shown in (KEY.hex()[:8], KEY.hex()[32:40], BASE64[:8], "no base64", "ä"):
        assert shown not in said
