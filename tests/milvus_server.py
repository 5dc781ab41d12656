"""A real Milvus server for tests and benchmarks, its files in a folder."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

_COMPONENTS = ("rootCoord", "proxy", "queryCoord", "queryNode", "indexNode", "dataCoord", "dataNode")


class Server:
    """`with Server(folder) as server:` starts one and stops it at the end; `kill()` and `start()` in between.

    It listens on every address there is (2.3.5 cannot be told otherwise), so it belongs into a network of its own: see
    `make test-milvus`.

    Args:
        folder: for its files.
        session: seconds that the server's components may be silent for, such as on a busy machine: then they take themselves
            for dead and end. The components of a killed server are taken for alive as long.
    """

    #: A user and password that every new server knows.
    token = "root:Milvus"

    def __init__(self, folder: Path, session: int = 120):
        from milvus import MilvusServerConfig, _initialize_data_files

        self.folder, self.session = Path(folder), session
        # Unpacked once for the environment.
        self._programs = Path(sys.prefix) / "milvus-server"
        _initialize_data_files(str(self._programs))
        config = MilvusServerConfig(data_dir=str(folder))
        for component in _COMPONENTS:
            # What the components call each other by.
            config.set(f"{component}.ip", "127.0.0.1")
        # Milliseconds between looks at what is to do, and that a reader waits for who may have written before it.
        config.set("queryCoord.checkInterval", "100")
        config.set("queryCoord.distPullInterval", "100")
        config.set("proxy.timeTickInterval", "20")
        config.set("common.security.authorizationEnabled", "true")
        config.resolve()
        self.uri = f"http://127.0.0.1:{config.get('proxy_port')}"
        self._health = _free_port(config, 9091)
        # Its own addresses, so that two servers may run at once.
        peers = f"http://127.0.0.1:{_free_port(config, 12380)}"
        clients = f"http://127.0.0.1:{config.get('etcd_port')}"
        own = {"listen-peer-urls": peers, "initial-advertise-peer-urls": peers, "initial-cluster": f"default={peers}"}
        own |= {"listen-client-urls": clients, "advertise-client-urls": clients}
        self._etcd = self.folder / "etcd.json"
        self._etcd.write_text(json.dumps(own))
        self._process = None

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.kill()

    def start(self, patience: float = 120) -> None:
        """Returns when the server says that it is healthy."""
        bin = self._programs / "bin"
        environment = os.environ | {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._health),
            "COMMON_SESSION_TTL": str(self.session),
            "ETCD_CONFIG_PATH": str(self._etcd),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
            "LD_LIBRARY_PATH": f"{bin}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        }
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [bin / "milvus", "run", "standalone"], cwd=self.folder, env=environment, stdout=log, stderr=log
            )
        start = time.monotonic()
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() - start > patience:
                self.kill()
                raise RuntimeError(f"Milvus did not start; see {self.folder / 'server.log'}")
            time.sleep(0.2)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._health}/healthz", timeout=5) as answer:
                return b"OK" in answer.read()
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """At once, as a power cut does."""
        self._process.kill()
        self._process.wait()


def _free_port(config, first: int) -> int:
    port, held = config.resolve_port(first)
    held.close()
    return port
