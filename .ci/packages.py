"""What is published: reads `cargo metadata` and names the packages, or looks into those that were packed.

As `packages.py < metadata`: says what a published package lacks, and which dependency needs a newer compiler than `rust-version` promises; else prints the
names of the published packages. As `packages.py packed FOLDER NAME...`: what is in each package is enough to build it.
"""

import json
import pathlib
import sys
import tarfile

WANTED = ("Cargo.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE")
SAID = ("description", "license", "repository", "readme", "rust_version")


def version(text):
    return tuple(int(part) for part in (text.split("-")[0] + ".0.0").split(".")[:3])


def published(metadata):
    members = set(metadata["workspace_members"])
    return [p for p in metadata["packages"] if p["id"] in members and p["publish"] != []]


def needed(metadata, roots):
    """The packages that those need to be built; what only tests need does not count."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    seen, left = set(), [package["id"] for package in roots]
    while left:
        at = left.pop()
        if at not in seen:
            seen.add(at)
            kinds = ((dep["pkg"], {kind["kind"] for kind in dep["dep_kinds"]}) for dep in nodes[at]["deps"])
            left.extend(package for package, kind in kinds if kind != {"dev"})
    return [package for package in metadata["packages"] if package["id"] in seen]


def problems(metadata):
    roots = published(metadata)
    names = {package["name"] for package in roots}
    members = {p["name"] for p in metadata["packages"] if p["id"] in set(metadata["workspace_members"])}
    for package in roots:
        yield from (f"{package['name']} says no {what}" for what in SAID if not package[what])
        for dependency in package["dependencies"]:
            name, is_dev = dependency["name"], dependency["kind"] == "dev"
            if name in members and name not in names and not (is_dev and dependency["req"] == "*"):
                yield f"{package['name']} depends on {name}, which is not published"
    promised = min(version(package["rust_version"]) for package in roots if package["rust_version"])
    for package in needed(metadata, roots):
        if package["rust_version"] and version(package["rust_version"]) > promised:
            yield f"{package['name']} {package['version']} needs Rust {package['rust_version']}"


def packed(folder, names):
    for name in names:
        files = list(pathlib.Path(folder).glob(f"{name}-[0-9]*.crate"))
        newest = max(files, key=lambda file: file.stat().st_mtime, default=None)
        if newest is None:
            yield f"{name} was not packed"
            continue
        with tarfile.open(newest) as archive:
            held = {member.name.split("/", 1)[1]: member for member in archive.getmembers()}
        for wanted in WANTED:
            if wanted not in held or not held[wanted].isfile() or held[wanted].size == 0:
                yield f"{newest.name} has no {wanted}"
        if not any(entry in held for entry in ("src/lib.rs", "src/main.rs")):
            yield f"{newest.name} has nothing to build"


def main():
    if sys.argv[1:2] == ["packed"]:
        found, names = list(packed(sys.argv[2], sys.argv[3:])), []
    else:
        metadata = json.load(sys.stdin)
        found, names = list(problems(metadata)), [package["name"] for package in published(metadata)]
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        sys.exit(1)
    for name in names:
        print(name)


main()
