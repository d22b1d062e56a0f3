"""A small bot for the inbox: one file, only the standard library, only the public API.

    BOT_SECRET=whsec_… BOT_TOKEN=ibx_api_… INBOX_URL=http://127.0.0.1:8000 python bot.py 9000

It answers opening hours in the webhook's own answer, looks up orders and answers by REST when it knows, and hands over
to people who can do more. Register it first: see docs/bots.md.
"""
# ruff: noqa: S310, T201

import base64
import hashlib
import hmac
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = base64.b64decode(os.environ["BOT_SECRET"].removeprefix("whsec_"))
TOKEN = os.environ["BOT_TOKEN"]
INBOX = os.environ["INBOX_URL"].rstrip("/")
FIVE_MINUTES = 300
MOST_BYTES = 1_000_000

GREETING = "Hello! Ask me for our hours, for an order, or for a person."


def is_genuine(headers, body):
    """Standard Webhooks: one of the signatures fits, and the message is not an old one that somebody kept."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > FIVE_MINUTES:
        return False
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(f"v1,{expected}", one) for one in given)


def answer(event, message_id):
    """What to say to an event. The same event always gets the same answer: it may be delivered more than once."""
    message = event["data"].get("message")
    if event["kind"] != "message.created" or message["direction"] != "in":
        return None
    words = " ".join(part.get("text") or "" for part in message["parts"]).lower()
    if "person" in words:
        return {**say("I will get somebody for you."), "hand_off": {"note": f"Asked for a person: {words!r}"}}
    if "bye" in words:
        return {**say("Bye!"), "end": {"close": True}}
    if "hours" in words:
        return say("We are here from Monday to Friday, 9 to 17.")
    if "order" in words:
        threading.Thread(target=look_up_order, args=(event, message_id)).start()
        return say("One moment, I am looking it up …")
    return say(GREETING)


def say(text):
    return {"messages": [{"parts": [{"type": "text", "text": text}]}]}


def look_up_order(event, message_id):
    """Takes longer than a webhook may wait, so it answers by REST, under the lease that the event told of."""
    time.sleep(1)
    conversation = event["data"]["conversation"]
    request = urllib.request.Request(
        f"{INBOX}/v1/conversations/{conversation['id']}/messages",
        data=json.dumps(
            {
                "parts": [{"type": "text", "text": "Your order is on its way."}],
                "epoch": conversation["responder_epoch"],
            }
        ).encode(),
        headers={
            "Authorization": f"Bearer {TOKEN}",
            "Content-Type": "application/json",
            "Idempotency-Key": f"{message_id}:order",  # a repeat of the event sends nothing twice
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=15):
            pass
    except urllib.error.HTTPError as refused:
        problem = json.load(refused)
        if problem.get("reason") != "superseded":
            raise
        print(f"too late: {problem['detail']}", flush=True)  # somebody took over, and that is fine


class Webhook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers.get("content-length", "0"))
        if length > MOST_BYTES:
            self.close_connection = True
            self.reply(413, b"")
            return
        body = self.rfile.read(length)
        if not is_genuine(self.headers, body):
            self.reply(401, b"")
            return
        said = answer(json.loads(body), self.headers["webhook-id"])
        self.reply(200, json.dumps(said).encode() if said else b"")

    def reply(self, status, body):
        self.send_response(status)
        if body:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, text, *args):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Webhook)
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()
