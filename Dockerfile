# Edge and cloud in one image; the cloud server is what it starts.

# The entropy codec is compiled; what is shipped has no compiler.
FROM python:3.12 AS build
WORKDIR /app
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
COPY requirements/run.txt requirements/run.txt
RUN pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY shared shared
COPY cloud_server cloud_server
COPY edge_client edge_client
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.12-slim
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /app
USER nobody
EXPOSE 50051 8080
ENTRYPOINT ["cloud-server", "serve", "--host", "0.0.0.0"]
