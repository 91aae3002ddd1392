"""Build hook: the meta-package depends on every distribution in plugins/, at its version."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class PluginsFound(MetadataHookInterface):
    """Sets the dependencies."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called for builds from the repository. Source distributions contain the dependencies."""
        version = metadata["version"]
        found = [f"tokenbench=={version}"]
        for file in sorted(Path(self.root).parent.glob("plugins/*/*/pyproject.toml")):
            data = tomllib.loads(file.read_text(encoding="utf-8"))
            settings = data.get("tool", {}).get("tokenbench", {}).get("lock", {})
            extras = ",".join(settings.get("run-extras", ()))
            name = data["project"]["name"] + (f"[{extras}]" if extras else "")
            found.append(f"{name}=={data['project']['version']}")
        metadata["dependencies"] = found
