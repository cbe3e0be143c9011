FROM registry.test/base@sha256:c32a62ba72787f11a63f2f2a7d5e325dd8d2d5a66247022302b016fe7d6a0903
USER root
RUN ["/bin/sh", "-c", "for one in /opt/venv/bin/python \"python$1\" python3 python; do\n    found=$(\"$one\" -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])' 2>/dev/null) || continue\n    [ \"$found\" = \"$1\" ] && exit 0\n    other=${other:-, but Python $found}\ndone\necho \"the base has no Python $1${other:-}\" >&2\nexit 1\n", "python", "3.12"]
COPY ["trees/bedb68aae4f079cd4d0a17c05e3b6277/", "/app/"]
LABEL build.flyte.spec-digest="sha256:d4663b11238f30006aef293d8828f1af10286cf9adbf20f72c7d52e4fc5cb5d7" build.flyte.recipe="1"
