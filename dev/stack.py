"""The running stack as a script sees it: its addresses, its database, its mails, its queues.

For dev/demo and dev/soak, which send like a provider and then look at what became of it. They only
read; all that they change goes through the front door or the `oncehook` command.
"""

import base64
import collections
import http.client
import json
import os
import pathlib
import subprocess
import sys
import urllib.error
import urllib.request
from urllib.parse import unquote, urlsplit

REPO = pathlib.Path(__file__).resolve().parent.parent
UNREACHABLE = (OSError, http.client.HTTPException)


class Stack:
    def __init__(self) -> None:
        path = REPO / ".dev" / "env"
        if not path.exists():
            sys.exit("the stack is not up (there is no .dev/env): run `make up` first")
        self.env = dict(line.split("=", 1) for line in path.read_text().splitlines() if line)
        self.programs = REPO / self.env["PROGRAMS"]
        database = urlsplit(self.env["DATABASE_URL"])
        # By environment: a password among the arguments is for everybody to read.
        self._psql_env = os.environ | {
            "PGHOST": database.hostname,
            "PGPORT": str(database.port),
            "PGUSER": database.username,
            "PGPASSWORD": database.password,
            "PGDATABASE": database.path.lstrip("/"),
            "PGCLIENTENCODING": "UTF8",
        }
        versions = pathlib.Path("/usr/lib/postgresql").glob("*/bin/psql")
        self._psql = max(versions, key=lambda psql: float(psql.parts[-3]))

    def query(self, sql: str, **values: str) -> list[dict]:
        """The rows of a SELECT; `:'name'` in it stands for a value."""
        variables = [argument for name, value in values.items() for argument in ("-v", f"{name}={value}")]
        command = [self._psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *variables]
        statement = f"SELECT coalesce(json_agg(r), '[]') FROM ({sql}) AS r;"
        result = subprocess.run(command, input=statement, env=self._psql_env, text=True, capture_output=True)
        if result.returncode:
            raise RuntimeError(f"{sql}\n{result.stderr.strip()}")
        return json.loads(result.stdout)

    def inventory(self, prefix: str) -> dict[str, int]:
        rows = self.query("SELECT sku, quantity FROM inventory WHERE starts_with(sku, :'prefix')", prefix=prefix)
        return {row["sku"]: row["quantity"] for row in rows}

    def stock(self, quantities: dict[str, int]) -> None:
        """Sets the inventory, with the command that a person would use."""
        csv = REPO / ".dev" / "inventory.csv"
        csv.write_text("sku,quantity\n" + "".join(f"{sku},{count}\n" for sku, count in quantities.items()))
        self.oncehook("inventory", "import", str(csv))

    def oncehook(self, *arguments: str) -> str:
        command = [self.programs / "oncehook", *arguments]
        result = subprocess.run(command, env=os.environ | self.env, cwd=REPO, text=True, capture_output=True)
        if result.returncode:
            sys.exit(f"oncehook {' '.join(arguments)} failed:\n{result.stderr or result.stdout}")
        return result.stdout

    def console(self, path: str) -> dict | None:
        """What the console's API says to an operator; nothing of what is not there."""
        headers = {"Authorization": f"Bearer {self.env['CONSOLE_TOKEN']}"}
        request = urllib.request.Request(f"{self.env['CONSOLE_URL']}/api/v1{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None

    def mails_by_recipient(self) -> dict[str, list[dict]]:
        return mails_by_recipient(self.env["MAIL_API_URL"])

    def management(self) -> tuple[str, str, str]:
        """RabbitMQ's management: address, user, password."""
        url = urlsplit(self.env["RABBITMQ_API_URL"])
        return f"http://{url.hostname}:{url.port}", unquote(url.username), unquote(url.password)

    def queued(self) -> dict[str, int]:
        """How many messages each queue holds that holds any."""
        address, user, password = self.management()
        credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        request = urllib.request.Request(f"{address}/api/queues", headers={"Authorization": f"Basic {credentials}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            queues = json.load(answer)
        return {queue["name"]: queue["messages"] for queue in queues if queue.get("messages")}


def mails_by_recipient(api_url: str) -> dict[str, list[dict]]:
    """What a mail sink has got, by who it was for."""
    with urllib.request.urlopen(api_url, timeout=60) as answer:
        mails = json.load(answer)["messages"]
    by_recipient = collections.defaultdict(list)
    for mail in mails:
        for recipient in mail["To"]:
            by_recipient[recipient["Address"]].append(mail)
    return by_recipient


class Connection:
    """A provider's connection to ingest, kept alive and opened again when it broke."""

    def __init__(self, ingest_url: str) -> None:
        url = urlsplit(ingest_url)
        self._http = http.client.HTTPConnection(url.hostname, url.port, timeout=10)

    def post(self, source: str, body: bytes, headers: dict[str, str]) -> tuple[int, str, bytes]:
        """Status, content type and body of the answer."""
        try:
            self._http.request("POST", f"/webhooks/{source}", body, headers)
            answer = self._http.getresponse()
            return answer.status, answer.getheader("Content-Type", ""), answer.read()
        except UNREACHABLE:
            self._http.close()
            raise
