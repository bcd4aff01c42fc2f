"""OAuth 2.0 as plain functions: what is asked of a token endpoint, and what its answer means.

Pure: no clock, no network, no event loop. grants.py says which fields a flow sends, client.py how the client
proves who it is, request.py puts both together, answer.py reads what comes back.
"""
