"""Mail: MIME with text and HTML; all of one group are one thread.

RFC 5322 (Message-ID, In-Reply-To, References), RFC 3834 (Auto-Submitted).
"""

from __future__ import annotations

import hashlib
import re
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr
from typing import Final

from tailrace.agents.notifier.channels.request import Made, MailRequest, Order
from tailrace.agents.notifier.contents import contents
from tailrace.agents.notifier.templates import Words, one_line, words
from tailrace.schemas.definitions.contact_point import Email
from tailrace.schemas.notifications import Notification

_PARTS: Final = ("title", "text", "html")
_LONGEST_SUBJECT: Final = 250
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def requests(order: Order) -> Made:
    """Return one mail to all recipients; the same bytes for the same notification."""
    spec = order.spec.email
    assert spec is not None
    said = contents(order.notification, order.spec.trace_url, order.external_url)
    message = words(said, order.spec.templates, is_test=order.is_test, parts=_PARTS)
    host, _, port = spec.smarthost.rpartition(":")
    auth = spec.auth
    request = MailRequest(
        host=host.strip("[]"),
        port=int(port),
        tls=spec.tls,
        sender=parseaddr(spec.sender)[1],
        recipients=tuple(parseaddr(address)[1] for address in spec.to),
        content=_mail(order.notification, spec, message).as_bytes(),
        username=auth.username if auth else None,
        password=order.reveal(auth.password) if auth else None,
    )
    return Made((request,), message.problems)


def _mail(notification: Notification, spec: Email, message: Words) -> EmailMessage:
    domain = parseaddr(spec.sender)[1].rpartition("@")[2]
    thread = _id(f"{notification.tenant}\0{notification.group_key}", "group", domain)
    mail = EmailMessage(policy=SMTP)
    mail["From"] = spec.sender
    mail["To"] = ", ".join(spec.to)
    mail["Subject"] = one_line(message.title, _LONGEST_SUBJECT)
    mail["Date"] = formatdate(notification.created_at // 1000, usegmt=True)
    mail["Message-ID"] = _id(notification.id, "notification", domain)
    mail["In-Reply-To"] = thread
    mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Tailrace-Notification"] = one_line(notification.id)
    mail.set_content(_CONTROLS.sub("", message.text))
    mail.add_alternative(_CONTROLS.sub("", message.html), subtype="html")
    mail.set_boundary(f"=_{_hash(notification.id)}")  # else it is drawn at random
    return mail


def _id(of: str, what: str, domain: str) -> str:
    return f"<{what}.{_hash(of)}@{domain}>"


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
