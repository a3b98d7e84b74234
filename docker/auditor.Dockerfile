# An auditor: nothing heavy. Build from the root of the checkout: docker build -f docker/auditor.Dockerfile .
FROM python:3.11-slim-bookworm

WORKDIR /app
COPY . .
# The same set-up as on any machine: tested versions, the CPU build of torch or none. Whichever user the container
# runs as owns what it writes; keys are readable by that user only.
RUN EXTRAS=auditor python3 demo/environment.py && install -d -m 1777 data handover

ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001:10001
VOLUME ["/app/data", "/app/handover"]
ENTRYPOINT ["auditor"]
CMD ["--help"]
