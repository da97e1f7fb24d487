#!/usr/bin/env python3
"""Scans models in object stores, on servers of this machine: an S3 server (moto), and a plain web server behind which connections break.

The results must be those of the same model in a folder, to the byte, and what is wrong must be said in one sentence.

    python3 -m pip install 'moto[server]==5.2.5' boto3==1.44.8
    python3 tests/stores/check.py target/debug/laser-scan examples/tiny-mistral
"""

import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

import boto3
from moto.server import ThreadedMotoServer

RESULTS = [".json", "_top_snr.json", "_spectra.safetensors"]


class Program:
    """The program in a folder of its own, with these environment variables."""

    def __init__(self, program, folder, **variables):
        self.program, self.folder = program, folder
        self.variables = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "*", **variables}

    def run(self, *arguments, **variables):
        done = subprocess.run(
            [self.program, *arguments], env={**self.variables, **variables}, cwd=self.folder, capture_output=True, text=True
        )
        print(f"{' '.join(map(str, arguments))}: {done.returncode}\n  {done.stderr.strip()}")
        return done

    def succeeds(self, *arguments, **variables):
        done = self.run(*arguments, **variables)
        assert done.returncode == 0, done.stderr
        return done

    def refuses(self, text, *arguments, **variables):
        done = self.run(*arguments, **variables)
        assert done.returncode == 1 and re.search(text, done.stderr), f"not {text!r}"
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("error: ") and "panicked" not in done.stderr


def same(one, other, name="tiny-mistral"):
    for end in RESULTS:
        file = f"laser_scan_{name}{end}"
        assert (one / file).read_bytes() == (other / file).read_bytes(), file


class Web(http.server.BaseHTTPRequestHandler):
    """A web server that knows ranges but no lists, and breaks off some answers in the middle."""

    folder = None
    cuts = 0
    tag = "one"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        path = self.folder / self.path.removeprefix("/models/")
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        tag = f'"{self.tag}"'
        wanted = self.headers.get("If-Match")
        if wanted and wanted != tag:
            self.send_error(412)
            return
        start, end = 0, len(content)
        found = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if found:
            start, end = int(found[1]), min(int(found[2]) + 1, len(content))
        self.send_response(206 if found else 200)
        self.send_header("Content-Length", str(end - start))
        self.send_header("ETag", tag)
        self.send_header("Last-Modified", "Sun, 29 Nov 2026 12:00:00 GMT")
        if found:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        self.end_headers()
        if not with_body:
            return
        body = content[start:end]
        if Web.cuts > 0 and len(body) > 10_000:
            Web.cuts -= 1
            body = body[:5000]
            self.close_connection = True
        self.wfile.write(body)


class Denying(http.server.BaseHTTPRequestHandler):
    """An S3 server that knows nobody."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        message = "The AWS Access Key Id you provided does not exist in our records."
        body = f"<Error><Code>InvalidAccessKeyId</Code><Message>{message}</Message></Error>".encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def check_s3(program, model, whole, folder):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    secrets = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1", "endpoint_url": endpoint}
    s3 = boto3.client("s3", **secrets)
    s3.create_bucket(Bucket="models")
    for file in model.iterdir():
        s3.upload_file(str(file), "models", f"of/{model.name}/{file.name}")
    variables = {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
    }
    folder.mkdir()
    scanner = Program(program, folder, **variables)
    address = f"s3://models/of/{model.name}"
    scanner.succeeds("--model", address, "--device", "cpu")
    same(folder, whole)
    manifest = json.loads((folder / f"laser_scan_{model.name}_run.json").read_text())
    assert all(file["etag"] for file in manifest["files"]) and manifest["origin"] == address
    assert "nothing is measured anew" in scanner.succeeds("--model", address, "--device", "cpu", "--top-n", "1").stderr
    plan = json.loads(scanner.succeeds("--model", address, "--dry-run", "--json").stdout)
    assert plan["download_bytes"] < sum(plan["files"].values())
    for part in (1, 2, 3):
        scanner.succeeds("--model", address, "--device", "cpu", "--part", f"{part}/3", "--output-dir", "parts")
    (folder / "merged").mkdir()
    scanner.succeeds("merge", "parts", "--output-dir", "merged")
    same(folder / "merged", whole)
    # Machines that share nothing but a bucket.
    results = "s3://models/results/here"
    for part in (3, 1, 2):
        sent = scanner.succeeds("--model", address, "--device", "cpu", "--part", f"{part}/3", "--output-dir", results)
        assert "sent 3 files" in sent.stderr and f"wrote '{results}/laser_scan_" in sent.stderr, sent.stderr
    again = scanner.succeeds("--model", address, "--device", "cpu", "--part", "2/3", "--output-dir", results)
    assert "nothing is measured anew" in again.stderr
    (folder / "from").mkdir()
    scanner.succeeds("merge", results, "--output-dir", "from")
    same(folder / "from", whole)
    scanner.succeeds("merge", results, "--output-dir", results)
    for end in RESULTS:
        name = f"laser_scan_{model.name}{end}"
        content = s3.get_object(Bucket="models", Key=f"results/here/{name}")["Body"].read()
        assert content == (whole / name).read_bytes(), name
    scanner.refuses("results need a folder of S3", "--model", str(model), "--output-dir", "https://127.0.0.1/x")
    scanner.refuses("bucket does not exist", "--model", str(model), "--output-dir", "s3://no-such-bucket/x")
    file = f"{address}/model-00001-of-00002.safetensors"
    scanner.succeeds("--model", file, "--dry-run")
    scanner.succeeds("delta", address, str(model), "--output-dir", "delta")
    scanner.refuses("bucket does not exist", "--model", "s3://no-such-bucket/m")
    scanner.refuses("holds no file of a model", "--model", "s3://models/no-such-folder")
    scanner.refuses("has no revisions", "--model", address, "--revision", "main")
    s3.delete_object(Bucket="models", Key=f"of/{model.name}/model-00002-of-00002.safetensors")
    scanner.refuses("names the shard 'model-00002-of-00002.safetensors', which does not exist", "--model", address)
    scanner.refuses("cannot be read", "--model", address, AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_RETRIES="0")
    server.stop()
    # moto lets everyone in, so that another server answers as S3 does to those whom it does not know.
    denying = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Denying)
    threading.Thread(target=denying.serve_forever, daemon=True).start()
    unknown = f"http://127.0.0.1:{denying.server_port}"
    scanner.refuses("refuses access .The AWS Access Key Id you provided does not exist", "--model", address, AWS_ENDPOINT_URL=unknown)
    denying.shutdown()


def check_web(program, model, whole, folder):
    Web.folder = model.parent
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/models/{model.name}/"
    folder.mkdir()
    scanner = Program(program, folder)
    Web.cuts = 3
    scanner.succeeds("--model", address, "--device", "cpu")
    assert Web.cuts == 0, "connections were cut"
    same(folder, whole)
    scanner.refuses("holds no file of a model", "--model", address.replace(model.name, "nothing"))
    scanner.refuses("^((?!secret).)*credentials belong into environment", "--model", address.replace("//", "//user:secret@"))
    server.shutdown()


if __name__ == "__main__":
    program, model = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        whole = folder / "whole"
        whole.mkdir()
        Program(program, whole).succeeds("--model", model, "--device", "cpu")
        check_s3(program, model, whole, folder / "s3")
        check_web(program, model, whole, folder / "web")
