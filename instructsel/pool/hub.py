"""Data sets of the hub as files: fetched, or as they lie in the caches of `huggingface_hub` and `datasets`; read by the readers of this project.

Only names of files and the README decide what is read; no code of a data set is run, and nothing but the chosen files is fetched.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from instructsel.errors import ModelUnavailable, PoolError, UsageError
from instructsel.extras import require
from instructsel.pool.folders import MAX_README, Entry, FolderListing, Listing, LocalFolder, Named, label_in, take

HUB: Final = "hf://"
NAME: Final = re.compile(r"hf://(?P<name>[^:@]+?)(?::(?P<split>[\w.\[\]%:+-]+))?(?:@(?P<revision>[\w./-]+))?")
CACHED: Final = re.compile(r"(?P<name>.+?)-(?P<split>\w+(?:\.\w+)*?)(?:-\d{5}-of-\d{5})?\.arrow")
"""A file in the cache of `datasets`."""
FORM: Final = "hf://OWNER/NAME[/CONFIG][:SPLIT][@REVISION]"


def named(name: str) -> Named:
    """The files of a data set of the hub, fetched where that is possible; of a local folder, as the folder itself.

    Args:
        name: hf://OWNER/NAME[/CONFIG][:SPLIT][@REVISION].

    Raises:
        UsageError: another form; no such configuration or split, or several and none named.
        PoolError: the data set holds no pool.
        ModelUnavailable: it is neither here nor to be fetched.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise PoolError(f"{name} is not of the form {FORM}.", fix="For example hf://databricks/databricks-dolly-15k:train")
    place, split, revision = match["name"], match["split"], match["revision"]
    if place.startswith(("/", ".", "~")):
        return _local(name, os.path.expanduser(place) + (f":{split}" if split else ""), revision)
    parts = place.split("/")
    if len(parts) > 3 or not all(parts):
        raise PoolError(f"{name} is not of the form {FORM}.", fix="A folder on this machine is named as it is, or as hf://./FOLDER")
    repository, config = "/".join(parts[:2]), parts[2] if len(parts) == 3 else None
    shown = f"{HUB}{repository}"
    end = f"@{revision}" if revision else ""
    listing = _listing(name, repository, revision)
    if isinstance(listing, _ArrowCache):
        paths, note = listing.take(config, split)
    else:
        taken = take(listing, config, split, how=f"{shown}{{config}}{{split}}{end}")
        paths, note = taken.paths, taken.note
    files = [listing.fetched(path) for path in paths]
    label = "/".join(parts[1:]) or parts[0]
    entries = [Entry(f"{shown}{end}/{path}", file, label_in(label, path, len(paths))) for path, file in zip(paths, files, strict=True)]
    return Named(tuple(entries), (name,), note)


def _local(name: str, path: str, revision: str | None) -> Named:
    """A folder of this machine under an hf:// name."""
    folder = LocalFolder(path)
    if folder.folder is None:
        raise PoolError(f"{name}: there is no folder {path}.", fix="Check the path; a data set of the hub is named hf://OWNER/NAME.")
    if revision is not None:
        raise UsageError(f"{name}: a folder of this machine has no revisions.", fix=f"Leave @{revision} out.")
    note = f"{name} is the folder {folder.folder} of this machine"
    return Named(folder.named.entries, folder.named.recorded, "; ".join([note, *([folder.named.note] if folder.named.note else [])]))


class _Remote(Listing):
    """A data set of the hub, at a commit."""

    def __init__(self, name: str, repository: str, revision: str | None) -> None:
        self.hub = require("huggingface_hub", needed_by=name)
        info = self.hub.HfApi().dataset_info(repository, revision=revision)
        self.name = f"{HUB}{repository}"
        self.repository = repository
        self.commit: str | None = info.sha
        self.paths = tuple(sorted(sibling.rfilename for sibling in info.siblings or ()))

    def fetched(self, path: str) -> str:
        """Where a file lies once it is fetched."""
        return str(self.hub.hf_hub_download(self.repository, path, repo_type="dataset", revision=self.commit))

    def read(self, path: str) -> bytes:
        with open(self.fetched(path), "rb") as file:
            return file.read(MAX_README)


class _Snapshot(FolderListing):
    """A data set in the cache of `huggingface_hub`."""

    def fetched(self, path: str) -> str:
        """Where a file lies."""
        return str(self.folder / path)


class _ArrowCache(FolderListing):
    """A data set in the cache of `datasets`: …/OWNER___NAME/CONFIG/VERSION/HASH/NAME-SPLIT.arrow."""

    def __init__(self, folder: Path, name: str, revision: str | None) -> None:
        super().__init__(folder, name)
        self.revision = revision

    def fetched(self, path: str) -> str:
        """Where a file lies."""
        return str(self.folder / path)

    def take(self, config: str | None, split: str | None) -> tuple[tuple[str, ...], str | None]:
        """The files of a configuration and a split, as `take` chooses them."""
        splits: dict[str, dict[str, list[str]]] = {}
        for path in self.paths:
            parts = path.split("/")
            match = CACHED.fullmatch(parts[-1])
            if match is None or len(parts) != 4 or (self.revision is not None and not parts[2].startswith(self.revision)):
                continue
            splits.setdefault("/".join(parts[:3]), {}).setdefault(match["split"], []).append(path)
        places = {place: by_split for place, by_split in splits.items() if config is None or place.split("/")[0] == config}
        if len(places) != 1:
            have = ", ".join(sorted({place.split("/")[0] for place in splits})[:6]) or "none"
            raise UsageError(
                f"{self.name}: of the data set there are the configurations {have} in the cache of datasets; one of them, at one revision, is a pool.",
                fix="Name the configuration, and the revision where there are several.",
            )
        ((place, by_split),) = places.items()
        wanted = split or ("train" if "train" in by_split else None)
        if wanted is None and len(by_split) == 1:
            wanted = next(iter(by_split))
        if wanted not in by_split:
            raise UsageError(f"{self.name} has the splits {', '.join(sorted(by_split))} in the cache of datasets.", fix="Name one of them.")
        return tuple(by_split[wanted]), f"{self.name}: the split {wanted} of {place.split('/')[0]} is read from the cache of datasets"


def _listing(name: str, repository: str, revision: str | None) -> Any:
    """The data set on the hub; where it cannot be asked, in a cache of this machine."""
    library = require("huggingface_hub", needed_by=name)
    constants = require("huggingface_hub.constants", needed_by=name)
    errors = require("huggingface_hub.errors", needed_by=name)
    why = "the hub is not asked (HF_HUB_OFFLINE)"
    if not constants.HF_HUB_OFFLINE:
        try:
            return _Remote(name, repository, revision)
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
            raise ModelUnavailable(
                f"{name} cannot be had: the hub has no such data set or revision, or it is not open to this account.",
                fix="Check the name and the revision; log in with: hf auth login",
            ) from error
        except (OSError, RuntimeError, errors.HfHubHTTPError) as error:
            why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        except Exception as error:  # the library's way to the hub has errors of its own
            if type(error).__module__.partition(".")[0] not in ("httpx", "httpcore", "requests", "urllib3"):
                raise
            why = f"{type(error).__name__}: {str(error)[:150]}"
    try:
        folder = library.snapshot_download(repository, repo_type="dataset", revision=revision, local_files_only=True)
        return _Snapshot(Path(folder), f"{HUB}{repository}")
    except (OSError, ValueError, errors.HfHubHTTPError):
        pass
    cache = Path(os.environ.get("HF_DATASETS_CACHE") or Path(constants.HF_HOME) / "datasets").expanduser()
    for folder in (cache / repository.replace("/", "___"), cache / repository.replace("/", "___").lower()):
        if folder.is_dir():
            return _ArrowCache(folder, f"{HUB}{repository}", revision)
    raise ModelUnavailable(f"{name} cannot be had: {why}, and it is in no cache here.", fix="Go online once, or name a local file.")


__all__ = ["HUB", "named"]
