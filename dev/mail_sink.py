#!/usr/bin/python3
"""A mail server that delivers nothing: it takes every mail, keeps it in memory and shows it by HTTP.

    dev/mail_sink.py SMTP_PORT HTTP_PORT

Both listen on 127.0.0.1. The HTTP interface has Mailpit's shape, newest mail first, all of them:

    GET    /api/v1/messages              every mail
    GET    /api/v1/messages?to=ADDRESS   the mails that went to that address
    DELETE /api/v1/messages              forget all
    GET    /readyz

`To` holds the recipients of the envelope, who really got it. SMTP AUTH (PLAIN and LOGIN) is offered
and never required; only `sink` with password `sink` is let in, and `AuthenticatedAs` says so.

A recipient can ask for a failure by the beginning of its address, so that tests that share the sink
each provoke their own:

    reject-permanent…    550 to RCPT, always
    reject-once…         550 to RCPT, the first time: a server that is mended then
    reject-temporary…    451 to RCPT, always
    temporary-once…      451 to RCPT the first time that address is seen
    drop-before-data…    connection closed instead of an answer to RCPT, the first time
    drop-after-data…     mail recorded, connection closed instead of the answer to DATA, the first time
    tarpit…              mail recorded, the answer to DATA comes after 60 s, always
"""

import asyncio
import collections
import dataclasses
import datetime
import email
import email.policy
import email.utils
import functools
import json
import signal
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.smtp import SMTP, AuthResult

TARPIT_S = 60
SIZE_LIMIT = 32 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Mail:
    """One accepted mail. Parsed when first looked at: receiving should cost next to nothing."""

    id: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes
    created: str
    authenticated_as: str

    @functools.cached_property
    def view(self) -> dict:
        message = email.message_from_bytes(self.content, policy=email.policy.default)
        body = message.get_body(preferencelist=("plain", "html"))
        text = body.get_content() if body else ""
        people = [address for header in ("To", "Cc") for address in getattr(message[header], "addresses", ())]
        names = {address.addr_spec.lower(): address.display_name for address in people}
        sender = next(iter(getattr(message["From"], "addresses", ())), None)
        return {
            "ID": self.id,
            "MessageID": str(message["Message-ID"] or "").strip().strip("<>"),
            "From": {"Name": sender.display_name if sender else "", "Address": sender.addr_spec if sender else self.sender},
            "To": [{"Name": names.get(to.lower(), ""), "Address": to} for to in self.recipients],
            "Subject": str(message["Subject"] or ""),
            "Snippet": " ".join(text.split())[:250],
            "Text": text,
            "Created": self.created,
            "Size": len(self.content),
            "AuthenticatedAs": self.authenticated_as,
        }


class Mailbox:
    """All mails, shared by the SMTP loop (which adds) and the HTTP threads (which read)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mails: list[Mail] = []

    def add(self, mail: Mail) -> None:
        with self._lock:
            self._mails.append(mail)

    def clear(self) -> None:
        with self._lock:
            self._mails.clear()

    def listing(self, to: str | None) -> dict:
        with self._lock:
            mails = self._mails[::-1]
        wanted = [m for m in mails if to is None or to.lower() in (r.lower() for r in m.recipients)]
        return {"total": len(mails), "count": len(wanted), "messages": [mail.view for mail in wanted]}


class Inbound:
    """What the SMTP server asks about each mail: may it come in, and where does it go."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._seen: dict[str, set[str]] = collections.defaultdict(set)

    def _asks(self, address: str, fault: str) -> bool:
        return address.lower().startswith(fault)

    def _asks_first_time(self, address: str, fault: str) -> bool:
        if not self._asks(address, fault) or address.lower() in self._seen[fault]:
            return False
        self._seen[fault].add(address.lower())
        return True

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self._asks(address, "reject-permanent") or self._asks_first_time(address, "reject-once"):
            return "550 5.1.1 No such mailbox here"
        if self._asks(address, "reject-temporary") or self._asks_first_time(address, "temporary-once"):
            return "451 4.3.2 Try again later"
        if self._asks_first_time(address, "drop-before-data"):
            return hang_up(server)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        mail_id = str(uuid.uuid4())
        self._mailbox.add(
            Mail(
                id=mail_id,
                sender=envelope.mail_from or "",
                recipients=tuple(envelope.rcpt_tos),
                content=envelope.content,
                created=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
                authenticated_as=session.auth_data or "",
            )
        )
        if any([self._asks_first_time(to, "drop-after-data") for to in envelope.rcpt_tos]):
            return hang_up(server)
        if any(self._asks(to, "tarpit") for to in envelope.rcpt_tos):
            await asyncio.sleep(TARPIT_S)
        return f"250 2.0.0 Ok: queued as {mail_id}"


def hang_up(server: SMTP) -> str:
    """Closes the connection; aiosmtpd wants an answer all the same, and fails to send it."""
    server.transport.abort()
    return "421 4.3.0 Never sent"


def authenticate(server, session, envelope, mechanism, credentials) -> AuthResult:
    if (credentials.login, credentials.password) == (b"sink", b"sink"):
        return AuthResult(success=True, auth_data="sink")
    return AuthResult(success=False, handled=False)


def http_handler(mailbox: Mailbox) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path == "/readyz":
                self._answer(200, {"status": "ready"})
            elif url.path == "/api/v1/messages":
                self._answer(200, mailbox.listing(parse_qs(url.query).get("to", [None])[0]))
            else:
                self._answer(404, {"Error": "there are only /api/v1/messages and /readyz"})

        def do_DELETE(self) -> None:
            if urlsplit(self.path).path != "/api/v1/messages":
                return self._answer(404, {"Error": "only /api/v1/messages can be deleted"})
            mailbox.clear()
            return self._answer(200, {"status": "ok"})

        def _answer(self, status: int, document: dict) -> None:
            body = json.dumps(document, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_) -> None:
            """Silent: whoever waits for a mail asks ten times a second."""

    return Handler


async def serve(smtp_port: int, http_port: int) -> None:
    mailbox = Mailbox()
    inbound = Inbound(mailbox)

    class HttpServer(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    http = HttpServer(("127.0.0.1", http_port), http_handler(mailbox))
    threading.Thread(target=http.serve_forever, daemon=True).start()

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def connection() -> SMTP:
        return SMTP(
            inbound,
            hostname="mail-sink",
            ident="Oncehook mail sink",
            data_size_limit=SIZE_LIMIT,
            enable_SMTPUTF8=True,
            authenticator=authenticate,
            auth_require_tls=False,
            loop=loop,
        )

    await loop.create_server(connection, "127.0.0.1", smtp_port, backlog=128)
    print(f"taking mail on 127.0.0.1:{smtp_port}, showing it on http://127.0.0.1:{http_port}/api/v1/messages")
    await stop.wait()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
