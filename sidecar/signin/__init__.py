"""People who sign in: the authorization code flow with PKCE, sessions, and the pages under `/.auth`.

The browser holds an opaque cookie and never sees a token (OAuth 2.0 for Browser-Based Apps: the sidecar is the
"backend for frontend").
"""
