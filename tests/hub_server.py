"""A stand-in for the Hugging Face hub: folders `owner/name` served as data sets, by the paths that its client asks for."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_API = re.compile(
    r"/api/datasets/(?P<name>[^/]+/[^/]+)(?:/(?P<what>revision|tree|paths-info)/(?P<revision>[^/]+)(?:/(?P<path>.+))?)?"
)
_FILE = re.compile(r"/datasets/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


def commit_of(folder: Path) -> str:
    """40 digits that stand for the files' content."""
    digest = hashlib.sha1()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


class _Handler(BaseHTTPRequestHandler):
    """Answers for the data sets under `server.root`; what was asked is in `server.asked`."""

    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        found = None
        if (file := _FILE.fullmatch(path)) and (found := self._folder(file)) and (found / file["path"]).is_file():
            self._send_file(found, found / file["path"])
        elif (api := _API.fullmatch(path)) and (found := self._folder(api)):
            self._send_json(self._about(found, api), commit_of(found))
        else:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound" if file and found else "RepoNotFound"})

    do_HEAD = do_POST = do_GET  # noqa: N815 - names that http.server calls

    def _folder(self, match: re.Match[str]) -> Path | None:
        """The folder of a data set at the revision that is asked for."""
        folder: Path = self.server.root / match["name"]
        if not folder.is_dir():
            return None
        wanted = match["revision"] if "revision" in match.groupdict() else None
        return folder if wanted in (None, "main", commit_of(folder)) else None

    def _about(self, folder: Path, api: re.Match[str]) -> Any:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        if api["what"] == "paths-info":
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            wanted = json.loads(body)["paths"] if body[:1] == b"{" else re.findall(r"paths=([^&]+)", unquote(body.decode()))
            return [self._entry(folder, folder / name) for name in wanted if (folder / name).exists()]
        if api["what"] == "tree":
            below = folder / (api["path"] or "")
            entries = files if "recursive=True" in self.path or "recursive=true" in self.path else sorted(below.iterdir())
            return [self._entry(folder, path) for path in entries if path.is_relative_to(below)]
        names = [{"rfilename": str(path.relative_to(folder))} for path in files]
        return {"id": api["name"], "sha": commit_of(folder), "siblings": names, "private": False, "tags": [], "downloads": 0}

    def _entry(self, folder: Path, path: Path) -> dict[str, Any]:
        name, kind = str(path.relative_to(folder)), "file" if path.is_file() else "directory"
        return {"type": kind, "path": name, "size": path.stat().st_size, "oid": hashlib.sha1(name.encode()).hexdigest()}

    def _send_file(self, folder: Path, path: Path) -> None:
        content, code, headers = (
            path.read_bytes(),
            200,
            {"ETag": f'"{commit_of(path.parent)}"', "X-Repo-Commit": commit_of(folder)},
        )
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, end = int(wanted[1]), int(wanted[2] or len(content) - 1)
            headers["Content-Range"], code = f"bytes {start}-{min(end, len(content) - 1)}/{len(content)}", 206
            content = content[start : end + 1]
        if self.server.fails > 0 and self.command == "GET" and path.name != "README.md":  # as a busy hub does now and then
            self.server.fails -= 1
            self._send(503, b"", {"Retry-After": "0"})
            return
        self._send(code, content, headers | {"Accept-Ranges": "bytes"})

    def _send_json(self, content: Any, commit: str) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json", "X-Repo-Commit": commit})

    def _send(self, code: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def hub(root: Path, fails: int = 0) -> Iterator[tuple[dict[str, str], list[str]]]:
    """(environment for a process that shall use it, requests so far) of a hub with the data sets under `root`, while it lasts.

    The first `fails` requests for data are answered by 503.
    """
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.root, server.asked, server.fails = root, [], fails
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = str(root.parent / "hub_home")
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield {**os.environ, "HF_ENDPOINT": address, "HF_HOME": home, "HF_HUB_OFFLINE": "0"}, server.asked
    finally:
        server.shutdown()
        server.server_close()
