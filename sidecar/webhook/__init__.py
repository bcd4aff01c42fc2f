"""The admission webhook: pods that ask for the sidecar by an annotation get it when they are created.

Owns the answer to an AdmissionReview and the HTTPS server that gives it. Reading a review (review.py, pod.py,
wishes.py), the decision (decision.py) and the JSON Patch (patch.py) are plain functions of the settings and the
request: no state, no clock, no look at a cluster. certificate.py and server.py have what lives. Knows nothing of tokens
or of the proxy: the container it puts into a pod is Kubernetes' own words, passed on as they stand in the settings.
"""
