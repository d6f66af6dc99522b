"""What the hub writes to people, in their language; plain text, without pictures or tracking.

Links begin with the address of the configuration: that of a request is what strangers write.
"""

from __future__ import annotations

from datetime import timedelta

from appliance.config.mail_schema import Mail
from appliance.native_auth.mail import Letter
from appliance.texts import Text, say, say_many
from appliance.web.languages import localized, speaking


class Letters:
    """Words for every occasion."""

    def __init__(self, settings: Mail, *, hub_url: str) -> None:
        self._site = settings.site.rstrip("/")
        self._hub_url = hub_url

    def forgotten(
        self, to: str, *, name: str, path: str, works: timedelta, language: str
    ) -> Letter:
        """The link with which somebody chooses another password."""
        minutes = round(works.total_seconds() / 60)
        return self._letter(
            to,
            language,
            say("Choose a new password"),
            [
                say(
                    "Somebody, most likely you, asked for a new password for the account “{name}”.",
                    name=name,
                ),
                say("Follow this link to choose one:"),
                say("{link}", link=self._address(path)),
                say_many(
                    "It works once, and for one minute.",
                    "It works once, and for {count} minutes.",
                    minutes,
                ),
                say("If it wasn't you, do nothing: your password stays as it is."),
            ],
        )

    def confirm_address(self, to: str, *, name: str, token: str, language: str) -> Letter:
        """The link that shows that a mail address is one's own."""
        return self._letter(
            to,
            language,
            say("Confirm your mail address"),
            [
                say("This address was entered for the account “{name}”.", name=name),
                say("If you did that, follow this link within a day:"),
                say("{link}", link=self._address(f"{self._hub_url}account/email?token={token}")),
                say("If it wasn't you, do nothing: the address isn't used."),
            ],
        )

    def sign_up_waits(self, to: str, *, name: str, path: str, language: str) -> Letter:
        """To who may approve: somebody waits for it."""
        return self._letter(
            to,
            language,
            say("{name} waits for approval", name=name),
            [
                say("“{name}” has signed up and waits to be let in. See who waits:", name=name),
                say("{link}", link=self._address(path)),
            ],
        )

    def trial(self, to: str) -> Letter:
        """What `appliance mail test` sends."""
        return self._letter(
            to,
            "",
            say("A test of the hub's mail"),
            [
                say("If you read this, the hub can send mail. Links in its mails begin with:"),
                say("{link}", link=self._address(self._hub_url)),
            ],
        )

    def _address(self, path: str) -> str:
        return f"{self._site}{path}"

    @staticmethod
    def _letter(to: str, language: str, subject: Text, paragraphs: list[Text]) -> Letter:
        with speaking(language):
            text = "\n\n".join(localized(one) for one in paragraphs)
            return Letter(to, localized(subject), f"{text}\n")
