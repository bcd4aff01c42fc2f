"""People who sign in: the authorization endpoint with its pages, codes, refresh tokens, logout.

What the guide calls the Authorization Code flow (RFC 6749 section 4.1), with PKCE (RFC 7636), the `iss` of RFC
9207, and from OpenID Connect the ID token, `nonce`, `prompt`, `max_age`, `login_hint` and the logout endpoint.
As strict as the specifications allow: what a lenient server would let pass, a client should not rely on.

    request.py     is this a right authorization request?      redirects.py   addresses of clients
    endpoint.py    authorize, login, consent over HTTP         logout.py      the end-session endpoint
    pages.py       how they look                               browsers.py    who is signed in, in which browser
    grantstore.py  codes and refresh tokens                    tokengrants.py what the token endpoint gives for them
    idtoken.py     ID tokens                                   settings.py    what can be set
"""
