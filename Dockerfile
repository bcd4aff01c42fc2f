# The sidecar's image. `make image` builds it with buildah, podman or docker; `docker build .` does as well.
# Only what a command needs at run time is copied out of the first stage, in one layer: docs/kubernetes.md.
ARG PYTHON_IMAGE=python:3.12-slim
# As sidecar/__init__.py has it; a test compares them, and with another one the build finds no wheel.
ARG VERSION=0.1.0

FROM ${PYTHON_IMAGE} AS build
# `strip`: the wheels carry the debug symbols of their libraries, a third of all bytes. Debian has one version of it.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
# No bytecode by the way: it would pass for the base image's own.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
# The environment itself has no pip; the base image's fills it.
RUN python -m venv --without-pip /opt/auth-sidecar && python -m venv --without-pip /opt/build
WORKDIR /src
COPY requirements.txt requirements-build.txt ./
# pip's cache is the builder's, and no part of the image.
# hadolint ignore=DL3042
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/auth-sidecar/bin/python install --no-compile --only-binary :all: \
        --require-hashes -r requirements.txt && \
    pip --python /opt/build/bin/python install --only-binary :all: \
        --require-hashes -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY sidecar sidecar
COPY image/slim.py image/
ARG VERSION
# In site-packages the project is a wheel like any other, so that scanners find it.
RUN /opt/build/bin/python -c "from setuptools import build_meta; build_meta.build_wheel('/src/dist')" && \
    pip --python /opt/auth-sidecar/bin/python install --no-cache-dir --no-compile --no-index --no-deps \
        "dist/egain_auth_sidecar-${VERSION}"-*.whl && \
    /opt/auth-sidecar/bin/python image/slim.py /opt/auth-sidecar /layer

FROM ${PYTHON_IMAGE}
ARG VERSION
ARG REVISION=""
ARG CREATED=""
LABEL org.opencontainers.image.title="egain-auth-sidecar" \
      org.opencontainers.image.description="A reverse proxy beside an app that puts a fresh OAuth 2.0 token into every request" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY --from=build /layer/ /
# Nothing is written at run time but `demo`'s configuration, for which /dev/shm is there on a read-only root as well.
ENV PATH=/opt/auth-sidecar/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    TMPDIR=/dev/shm
WORKDIR /
# By number: Kubernetes' runAsNonRoot cannot look a name up. Any other user and group will do.
USER 65532:65532
# No HEALTHCHECK: /healthz and /readyz are for the pod's probes.
ENTRYPOINT ["/opt/auth-sidecar/bin/auth-sidecar"]
