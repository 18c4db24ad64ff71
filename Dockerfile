# The routing service and the load generator in one image: `ttca serve …` and `python -m loadgen fleet …`.
FROM python:3.12-slim AS build

WORKDIR /src
RUN python -m venv /opt/ttca
ENV PATH=/opt/ttca/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

# The dependencies have a layer of their own, so that a change of the code does not install them again.
COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > dependencies.txt \
    && python -m pip install --quiet --requirement dependencies.txt

COPY README.md LICENSE ./
COPY extproc extproc
COPY loadgen loadgen
RUN python -m pip install --quiet --no-deps . && python -m pip check


FROM python:3.12-slim

COPY --from=build /opt/ttca /opt/ttca
ENV PATH=/opt/ttca/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

# A new named volume takes over the owner of the directory that it is mounted on.
RUN mkdir -p /var/lib/ttca/endpoints /var/lib/ttca/state && chown -R 65532:65532 /var/lib/ttca
WORKDIR /var/lib/ttca
USER 65532:65532

CMD ["ttca", "--help"]
