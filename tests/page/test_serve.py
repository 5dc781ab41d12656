"""`horosphere serve` as a user starts, uses and stops it."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from horosphere import cli
from horosphere.page.server import _listen


def start(*arguments):
    """The process and the address that it prints."""
    command = [sys.executable, "-m", "horosphere", "serve", *map(str, arguments)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    printed = []
    for line in process.stdout:
        printed.append(line)
        if line.startswith("Ctrl-C"):
            return process, re.search(r"http://\S+", "".join(printed))[0], "".join(printed)
    raise AssertionError(f"{''.join(printed)}\n{process.stderr.read()}")


def test_serves_until_it_is_told_to_stop_and_finishes_what_runs(digits, capfd):
    """In this process, whose main thread the server takes until the signal."""
    with socket.create_server(("127.0.2.1", 0)) as free:
        port = free.getsockname()[1]
    # An address of loopback that is none of its usual names.
    address, answers = f"http://127.0.2.1:{port}/", []

    def use():
        try:
            while True:
                try:
                    assert httpx.get(f"{address}api/health").json()["status"] == "ok"
                    break
                except httpx.TransportError:
                    time.sleep(0.02)
            assert "<html" in httpx.get(address).text
            # A search that is half asked for when the signal comes.
            body = b'{"query": {"id": "%s"}}' % httpx.get(f"{address}api/items?like=").json()["ids"][0].encode()
            head = f"POST /api/search HTTP/1.1\r\nHost: 127.0.2.1:{port}\r\nContent-Type: application/json\r\n"
            with socket.create_connection(("127.0.2.1", port), timeout=20) as connection:
                connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
                time.sleep(0.3)
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.5)
                with pytest.raises(httpx.TransportError):
                    httpx.get(f"{address}api/health")
                connection.sendall(body[5:])
                answers.append(b"".join(iter(lambda: connection.recv(65536), b"")))
        except BaseException:
            os.kill(os.getpid(), signal.SIGTERM)
            raise

    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        using = pool.submit(use)
        assert cli.main(["serve", str(digits), "--host", "127.0.2.1", "--port", str(port)]) == 0
        using.result(20)
    assert signal.getsignal(signal.SIGTERM) is before
    assert answers[0].startswith(b"HTTP/1.1 200 OK") and b'"hits"' in answers[0]
    printed, errors = capfd.readouterr()
    assert "opening" in printed and "items of digits" in printed and address in printed and not errors
    assert printed.strip().endswith("stopped")


def test_ctrl_c_ends_a_stream_and_a_token_guards_other_addresses(digits, tmp_path):
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    process, address, printed = start(digits, "--port", "0", "--host", "0.0.0.0", "--token-file", token)
    try:
        assert address.endswith("/#token=0123456789abcdef") and "not encrypted" in printed
        port = re.search(r":(\d+)/", address)[1]
        assert httpx.get(f"http://127.0.0.1:{port}/api/collection").status_code == 401
        headers = {"Authorization": "Bearer 0123456789abcdef"}
        assert httpx.get(f"http://127.0.0.1:{port}/api/collection", headers=headers).status_code == 200
        stream = threading.Thread(target=httpx.get, args=(f"http://127.0.0.1:{port}/api/disk",), kwargs={"headers": headers})
        stream.start()
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(10) == 0
        stream.join(10)
        assert not stream.is_alive()
    finally:
        process.kill()


def test_mistakes_are_told_before_anything_is_loaded(digits, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert cli.main(["serve", str(digits), "--port", str(taken.getsockname()[1])]) == 2
    assert "is taken" in capsys.readouterr().err
    (tmp_path / "short").write_text("abc")
    for arguments, words in (
        ([tmp_path, "--port", "0"], "is no collection"),
        ([digits, "--port", "0", "--token-file", tmp_path / "short"], "16 or more"),
        ([digits, "--port", "0", "--token-file", tmp_path / "none"], "cannot read the token"),
        ([digits, "--host", "192.0.2.1", "--port", "0"], "cannot listen on 192.0.2.1"),
        ([digits, "--host", "no.such.host.invalid", "--port", "0"], "cannot listen on no.such"),
    ):
        assert cli.main(["serve", *map(str, arguments)]) == 2
        assert words in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        cli.main(["serve", str(digits), "--port", "70000"])
    assert end.value.code == 2 and "from 0 to" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["serve", str(digits), "--max-megapixels", "179"])
    assert "the most that Pillow decodes" in " ".join(capsys.readouterr().err.split())


def test_answers_do_not_wait_for_one_another():
    with _listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()) as client:
        connection = listening.accept()[0]
        # What asyncio asks before it turns Nagle's algorithm off.
        assert connection.proto == socket.IPPROTO_TCP
        connection.close(), client.close()
