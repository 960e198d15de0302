"""Traces by OpenTelemetry (extra `otel`), imported where OTEL_EXPORTER_OTLP_ENDPOINT is set."""
