"""Route maps from OpenAPI documents: from the bytes of a document to a file for `include:`.

reading.py and building.py have the bytes, references.py the `$ref`s, personas.py who may get a token, security.py
what an operation demands, operations.py the document as a list of operations, choosing.py one credential for
each, rendering.py the file, mapfile.py the file read back. Pure: knows nothing of the command line, of files or
of requests; docs/routes.md has the rules in words.
"""
