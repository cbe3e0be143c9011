FROM registry.test/base@sha256:c32a62ba72787f11a63f2f2a7d5e325dd8d2d5a66247022302b016fe7d6a0903
USER root
ARG __LINE_BREAK__
ENV A="a${__LINE_BREAK__}USER \"x\"${__LINE_BREAK__}" B="\$${__LINE_BREAK__}\$A"
ENV C="c"
LABEL build.flyte.spec-digest="sha256:624e13cac5cf2f8d17dc71d72b86ac9565d539373703cca12ec6395a162e0b91" build.flyte.recipe="1"
