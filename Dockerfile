# The service with the shipped model, and nothing of the study:
#   docker build -t deepsign .
#   docker run --read-only --tmpfs /tmp -p 127.0.0.1:8000:8000 -v deepsign:/data -e DEEPSIGN_API_KEYS=… deepsign
# Enrolments lie in the volume; another model: -v /its/folder:/model:ro -e DEEPSIGN_MODEL=/model
FROM python:3.12-slim AS build
RUN python -m venv /opt/deepsign
WORKDIR /project
COPY requirements-verify.txt ./
RUN /opt/deepsign/bin/pip install --no-cache-dir --require-hashes -r requirements-verify.txt
COPY pyproject.toml README.md LICENSE ./
COPY deepsign_utils ./deepsign_utils
RUN /opt/deepsign/bin/pip install --no-cache-dir --no-deps . \
    && /opt/deepsign/bin/pip uninstall --yes --quiet pip

FROM python:3.12-slim
COPY --from=build /opt/deepsign /opt/deepsign
RUN useradd --system --uid 10001 deepsign && install --directory --owner=deepsign --mode=700 /data
USER deepsign
ENV PATH=/opt/deepsign/bin:$PATH \
    DEEPSIGN_HOST=0.0.0.0 \
    DEEPSIGN_PORT=8000 \
    DEEPSIGN_STORE=/data/enrolments.sqlite
VOLUME /data
EXPOSE 8000
HEALTHCHECK --start-period=20s --timeout=5s CMD ["python", "-c", \
    "import urllib.request as http; http.urlopen('http://127.0.0.1:8000/ready', timeout=4)"]
CMD ["deepsign", "serve"]
