FROM registry.test/base@sha256:c32a62ba72787f11a63f2f2a7d5e325dd8d2d5a66247022302b016fe7d6a0903
USER root
RUN ["/bin/sh", "-c", "for one in /opt/venv/bin/python \"python$1\" python3 python; do\n    found=$(\"$one\" -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])' 2>/dev/null) || continue\n    [ \"$found\" = \"$1\" ] && exit 0\n    other=${other:-, but Python $found}\ndone\necho \"the base has no Python $1${other:-}\" >&2\nexit 1\n", "python", "3.12"]
LABEL build.flyte.spec-digest="sha256:0f8b93818b6038472db56ba8f6cca7e04f90f39e0290ef86105d9be3ed9107f4" build.flyte.recipe="1"
