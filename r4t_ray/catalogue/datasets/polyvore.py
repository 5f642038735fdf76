"""``polyvore``: the outfits of Han et al. 2017 (arXiv:1707.05691), from the public release.

An item without a name is left out. An outfit without a title or without a named item is left out too. The id of an
item is the ``tid`` of its image.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from r4t_ray.catalogue.catalogue import Catalogue, Item, ItemSet, check_catalogue
from r4t_ray.catalogue.datasets.sets import with_categories
from r4t_ray.catalogue.datasets.settings import DatasetSettings
from r4t_ray.catalogue.queries.themes import Templates
from r4t_ray.catalogue.records import json_value, parse_json
from r4t_ray.errors import DataError
from r4t_ray.files import sha256_file
from r4t_ray.types import Split

SPLIT_FILES: dict[str, Split] = {
    "train_no_dup.json": "train",
    "valid_no_dup.json": "val",
    "test_no_dup.json": "test",
}
CATEGORY_FILE = "category_id.txt"
IMAGE_ID = re.compile(r"[?&]tid=(\d+)")


class PolyvoreConfig(DatasetSettings):
    """The outfits of the public Polyvore release.

    Several outfit files keep their published splits. A single file is split by the hash of the titles.
    """

    own_templates: ClassVar[Templates] = Templates(
        types=("{}", "casual {}", "{} for a party", "{} for every season"),
        modifiers=("{}", "{} outfits", "something with {}"),
    )

    type: Literal["polyvore"] = Field("polyvore", description="Dataset: the outfits of Han et al. 2017.")
    path: Path = Field(
        description="polyvore.tar.gz, a folder with one or more of its *_no_dup.json files, or one of these files. "
        "category_id.txt in the same folder is optional. The path must exist on every node."
    )

    def sources(self) -> dict[str, str]:
        """File name -> sha256, for the archive or for each file of the folder."""
        path = self.path.expanduser()
        if path.is_file() and path.suffix != ".json":
            return {path.name: sha256_file(path)}
        return {name: sha256_file(file) for name, file in _local_files(path).items()}

    def read(self) -> Catalogue:
        """Read every outfit file of the archive or folder. Raises DataError."""
        files = _read_files(self.path.expanduser())
        outfit_files = [name for name in SPLIT_FILES if name in files]
        if not outfit_files:
            raise DataError(
                str(self.path),
                "no outfit file",
                f"polyvore.tar.gz or a folder with one of {', '.join(SPLIT_FILES)}",
                "fetch the public release of xthan/polyvore-dataset and set catalogue.path",
            )
        names = _category_names(files.get(CATEGORY_FILE, b""))
        items: dict[str, Item] = {}
        sets: list[ItemSet] = []
        for name in outfit_files:
            split = SPLIT_FILES[name] if len(outfit_files) > 1 else None
            where = str(self.path) if self.path.name == name else f"{self.path}/{name}"
            for place, outfit in _outfits(where, files[name]):
                sets += _read_outfit(place, outfit, names, items, split)
        return with_categories(
            check_catalogue(Catalogue(items=tuple(items.values()), sets=tuple(sets)), str(self.path))
        )


def _read_files(path: Path) -> dict[str, bytes]:
    if path.is_dir() or (path.is_file() and path.suffix == ".json"):
        return {name: file.read_bytes() for name, file in _local_files(path).items()}
    if not path.is_file():
        raise DataError(str(path), "no such file or folder", "polyvore.tar.gz or its folder", "correct catalogue.path")
    wanted = {*SPLIT_FILES, CATEGORY_FILE}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                stream = archive.extractfile(member) if member.isfile() and name in wanted else None
                if stream is not None:
                    found[name] = stream.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(str(path), f"an unreadable archive ({error})", "polyvore.tar.gz", "download it again") from None
    return found


def _local_files(path: Path) -> dict[str, Path]:
    """The outfit files of a folder, or the one file, and the file of categories beside them."""
    folder, names = (path, tuple(SPLIT_FILES)) if path.is_dir() else (path.parent, (path.name,))
    return {name: folder / name for name in (*names, CATEGORY_FILE) if (folder / name).is_file()}


def _outfits(where: str, content: bytes) -> list[tuple[str, dict[str, Any]]]:
    try:
        outfits = parse_json(content)
    except ValueError as error:
        raise DataError(where, f"invalid JSON ({error})", "a JSON list of outfits", "download it again") from None
    if not isinstance(outfits, list):
        raise DataError(where, f"a JSON {type(outfits).__name__}", "a JSON list of outfits", "download it again")
    places = [f"{where} outfit {number}" for number in range(1, len(outfits) + 1)]
    return [(place, json_value(place, "the outfit", outfit)) for place, outfit in zip(places, outfits, strict=True)]


def _read_outfit(
    place: str, outfit: dict[str, Any], category_names: dict[int, str], items: dict[str, Item], split: Split | None
) -> list[ItemSet]:
    """Read one outfit as a list of one set, and add its items to ``items``.

    The list is empty if the outfit has no title or no named item.
    """
    try:
        title, description, set_id = outfit["name"].strip(), str(outfit.get("desc") or ""), str(outfit["set_id"])
        keys = []
        for entry in outfit["items"]:
            found = IMAGE_ID.search(entry["image"])
            if found and entry["name"].strip():
                attributes = _attributes(entry, category_names)
                items.setdefault(found[1], Item(item_id=found[1], text=entry["name"].strip(), attributes=attributes))
                keys.append(found[1])
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            place, f"{type(error).__name__} {error}", "name, set_id, items of name, image", "download the files again"
        ) from None
    if not keys or not title:
        return []
    return [
        ItemSet(
            set_id=set_id,
            title=title,
            description=description.strip(),
            item_ids=tuple(dict.fromkeys(keys)),
            published_split=split,
        )
    ]


def _attributes(entry: dict[str, Any], category_names: dict[int, str]) -> dict[str, Any]:
    attributes = {"category_id": entry.get("categoryid"), "category": category_names.get(entry.get("categoryid", -1))}
    price = entry.get("price")
    if isinstance(price, (int, float)) and price >= 0:
        attributes["price"] = price
    return {name: value for name, value in attributes.items() if value is not None}


def _category_names(content: bytes) -> dict[int, str]:
    pairs = (line.split(maxsplit=1) for line in content.decode("utf-8", "replace").splitlines())
    return {int(pair[0]): pair[1].strip() for pair in pairs if len(pair) == 2 and pair[0].isdigit()}
