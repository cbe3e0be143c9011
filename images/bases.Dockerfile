# Every image that ours start from, and the only file that names one. `make pin` writes digests, Dependabot renews them,
# and a release is refused while one is missing.
FROM python:3.10-slim-trixie AS python3.10
FROM python:3.11-slim-trixie AS python3.11
FROM python:3.12-slim-trixie AS python3.12
FROM python:3.13-slim-trixie AS python3.13
FROM python:3.14-slim-trixie AS python3.14
