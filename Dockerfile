# docker build -t inbox .            for a PostgreSQL of your own (docker-compose.yml shows one)
# docker build --build-arg EXTRAS=s3,embedded -t inbox .     with a PostgreSQL inside, for `docker run --rm inbox demo`

FROM python:3.11-slim AS build
ARG EXTRAS=s3
WORKDIR /source
RUN python -m venv /opt/inbox
ENV PATH=/opt/inbox/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

# The dependencies first: this layer changes only with pyproject.toml and constraints.txt.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*p['dependencies'], *(d for e in '$EXTRAS'.split(',') if e for d in p['optional-dependencies'][e]), sep='\n')" \
    > requirements.txt && pip install --requirement requirements.txt --constraint constraints.txt

COPY . .
RUN pip install --no-deps .


FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin inbox \
    && install -d -o inbox -g inbox -m 0700 /data
COPY --from=build /opt/inbox /opt/inbox
ENV PATH=/opt/inbox/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    INBOX_DATA_FOLDER=/data \
    INBOX_HOST=0.0.0.0 \
    INBOX_PORT=8080 \
    INBOX_LOG_FORMAT=json

# By number, so that an orchestrator can tell that it is not root.
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['INBOX_PORT'] + '/readyz', timeout=2)"]
ENTRYPOINT ["inbox"]
CMD ["serve"]
