"""Accounts with passwords, and what proves besides who somebody is.

Logging in and passwords:
    authenticator   checks names and passwords; changes passwords
    passwords       which ones are good enough, how generated ones look; judging says it while
                    somebody types
    hashing         bcrypt, in threads
    throttle        slows down who guesses
    handlers        the pages; entering is what those share at whose end somebody is logged in

A second factor:
    second_factor   the second step of a log-in, for whom there is one; second_step is its page
    one_time_codes  codes of an authenticator app
    passkeys        keys that devices keep; webauthn has the ceremonies
    recovery_codes  codes that work once
    half_way        log-ins and ceremonies that are begun and not finished
    sealing         secrets that the hub must be able to read again

Newcomers:
    signup          who may make an account, and who waits
    waiting         what a waiting browser holds

Mail:
    mail            sends it; letters is what it says
"""
