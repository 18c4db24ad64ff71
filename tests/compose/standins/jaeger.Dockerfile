# Stands in for Jaeger: takes OTLP, answers the part of Jaeger's query API that the checks use.
FROM ttca-router:local
COPY collector.py /opt/collector.py
CMD ["python", "/opt/collector.py"]
