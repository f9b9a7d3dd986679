# The image of agent and manager: wheels are built in the first stage, the second has neither compiler nor pip.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /opt/tallyman
COPY requirements.lock ./
RUN pip --python /opt/tallyman/bin/python install --require-hashes --no-compile -r requirements.lock
COPY pyproject.toml hatch_build.py README.md CHANGELOG.md LICENSE ./
COPY controller controller
RUN pip --python /opt/tallyman/bin/python install --no-deps --no-compile . \
 && /opt/tallyman/bin/python -m compileall -q -j 0 /opt/tallyman/lib

FROM python:${PYTHON}-slim
ARG PYTHON
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="tallyman" \
      org.opencontainers.image.description="Runs containers the Kubernetes way, without Pods" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="docker.io/library/python:${PYTHON}-slim" \
      org.opencontainers.image.vendor="The authors of Tallyman" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN pip uninstall -y -q pip setuptools wheel 2>/dev/null || true
COPY --from=build /opt/tallyman /opt/tallyman
ENV PATH=/opt/tallyman/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# The agent talks to containerd's socket and looks into images as root; docs/install.md says what it needs and why. The manager needs
# nothing of that: the chart runs it as user 65532.
USER 0:0
EXPOSE 9464 9465 9443
ENTRYPOINT ["tallyman"]
CMD ["agent"]
