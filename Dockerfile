# Two images: `runtime` has both services and nothing that stands for Google or Temporal, `local` the whole stack of one machine.
# docs/containers.md says how they are built and run.
#
#     docker build --target runtime --tag convergence-runtime .
#     docker build --target local --tag convergence-local .
#
# All that is installed is pinned with its hash. What is kept has no pip and no build tool, belongs to root and runs as 10001.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS building
WORKDIR /source
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_DEPS=1 PIP_ROOT_USER_ACTION=ignore

FROM building AS wheels
COPY requirements/build.txt requirements/
RUN python -m pip install --require-hashes --requirement requirements/build.txt
COPY README.md pyproject.toml ./
COPY sdk sdk
COPY common common
COPY tenant_service tenant_service
COPY pipeline_service pipeline_service
COPY gateway gateway
COPY configs configs
COPY local_stack local_stack
RUN python -m pip wheel --no-build-isolation --wheel-dir /wheels ./sdk . ./local_stack

# The environment that `runtime` gets. pip works on it from outside, and compiles what it installs.
FROM building AS services
RUN python -m venv --without-pip /opt/convergence
COPY requirements/production.txt requirements/
RUN python -m pip --python /opt/convergence/bin/python install --require-hashes --requirement requirements/production.txt
COPY --from=wheels /wheels /wheels
RUN python -m pip --python /opt/convergence/bin/python install --no-index --find-links /wheels convergence-sdk convergence-server

FROM services AS stack
COPY requirements/local.txt requirements/
RUN python -m pip --python /opt/convergence/bin/python install --require-hashes --requirement requirements/local.txt \
    && python -m pip --python /opt/convergence/bin/python install --no-index --find-links /wheels convergence-local-stack

FROM ${PYTHON_IMAGE} AS bare
# The standard library would install pip anew from wheels of its own.
RUN python -m pip uninstall --yes --quiet --root-user-action ignore setuptools wheel pip \
    && rm -rf "$(python -c 'import ensurepip; print(ensurepip.__path__[0])')/_bundled"
ENV PATH=/opt/convergence/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1 HOME=/tmp
WORKDIR /srv

FROM bare AS local
# A named volume takes the owner and mode of the folder that it is put over.
RUN install -d -o 10001 -g 10001 -m 0700 /state/admin /state/shared /state/warehouse /state/kms /state/temporal /state/load
COPY --from=stack /opt/convergence /opt/convergence
LABEL org.opencontainers.image.title="convergence-local" org.opencontainers.image.description="Convergence with what stands for Google and Temporal on one machine"
USER 10001:10001
CMD ["convergence-local", "demo"]

# Last, so that it is what a build without --target makes.
FROM bare AS runtime
COPY --from=services /opt/convergence /opt/convergence
LABEL org.opencontainers.image.title="convergence" org.opencontainers.image.description="TenantService and PipelineService of Convergence"
USER 10001:10001
CMD ["convergence-tenant-service"]
