# One image for every role: the workers and the views run the same package.

FROM python:3.11-slim AS build
WORKDIR /build
COPY constraints/build.txt constraints/run.txt constraints/
RUN python -m venv /opt/stepfold \
    && /opt/stepfold/bin/pip install --no-cache-dir --require-hashes -r constraints/run.txt \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r constraints/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY stepfold stepfold
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/stepfold/bin/pip install --no-cache-dir --no-deps dist/*.whl

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin stepfold \
    && install --directory --owner=stepfold --group=stepfold /var/lib/stepfold
COPY --from=build /opt/stepfold /opt/stepfold
ENV PATH=/opt/stepfold/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    STEPFOLD_DATA_DIR=/var/lib/stepfold
USER stepfold
VOLUME /var/lib/stepfold
ENTRYPOINT ["stepfold"]
CMD ["serve"]
