"""Verifies and signs with the providers' Python libraries: one JSON request a line on standard input, one answer a line."""

import json
import os
import sys
from datetime import datetime, timezone
from importlib import metadata

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "python_modules"))

from Adyen.util import is_valid_hmac_notification  # noqa: E402
from slack_sdk.signature import SignatureVerifier  # noqa: E402
from square.utils.webhooks_helper import verify_signature  # noqa: E402
from standardwebhooks.webhooks import Webhook  # noqa: E402
from twilio.request_validator import RequestValidator  # noqa: E402
from urllib.parse import parse_qsl  # noqa: E402


def header(request, name):
    return {key.lower(): value for key, value in request["headers"].items()}[name.lower()]


def standard_webhooks(request):
    Webhook(request["secret"]).verify(request["body"], {key.lower(): value for key, value in request["headers"].items()})
    return True


def slack(request):
    verifier = SignatureVerifier(request["secret"])
    return verifier.is_valid(request["body"], header(request, "X-Slack-Request-Timestamp"), header(request, "X-Slack-Signature"))


def twilio(request):
    fields = dict(parse_qsl(request["body"], keep_blank_values=True))
    return RequestValidator(request["secret"]).validate(request["url"], fields, header(request, "X-Twilio-Signature"))


def square(request):
    return verify_signature(
        request_body=request["body"],
        signature_header=header(request, "x-square-hmacsha256-signature"),
        signature_key=request["secret"],
        notification_url=request["url"],
    )


def adyen(request):
    items = json.loads(request["body"])["notificationItems"]
    return all(is_valid_hmac_notification(item["NotificationRequestItem"], request["secret"]) for item in items)


VERIFIERS = {
    "slack": (slack, "slack-sdk"),
    "twilio": (twilio, "twilio"),
    "square": (square, "squareup"),
    "adyen": (adyen, "Adyen"),
    "standard-webhooks": (standard_webhooks, "standardwebhooks"),
}

for line in sys.stdin:
    request = json.loads(line)
    if request["provider"] not in VERIFIERS:
        answer = {"sdk": None}
    else:
        verify, package = VERIFIERS[request["provider"]]
        try:
            genuine = bool(verify(request))
        except Exception as error:  # a library that refuses by raising
            genuine, _ = False, error
        answer = {"sdk": f"{package} {metadata.version(package)} (PyPI)", "genuine": genuine}
    print(json.dumps(answer), flush=True)
