"""Text files that users name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenbench.api import FileSpec, UsageError


def test_a_file_of_the_user(tmp_path: Path) -> None:
    """Its content is the file's, under a name of its own."""
    (tmp_path / "mine.jinja").write_text("{{ messages }}")
    found = FileSpec.read("chat-template.jinja", str(tmp_path / "mine.jinja"), "chat template")
    assert found == FileSpec(name="chat-template.jinja", content="{{ messages }}")


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), (b"\xff\xfe", "it is not UTF-8 text")]
)
def test_a_file_that_is_none(tmp_path: Path, content: bytes | None, said: str) -> None:
    """One that is missing, and one that is no text, which would otherwise blame the plugin."""
    file = tmp_path / "mine"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=f"cannot read the chat template {file}: {said}"):
        FileSpec.read("x", str(file), "chat template")
