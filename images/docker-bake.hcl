# What we publish. From the top of the repository, after `make package`:
#   docker buildx bake --file images/docker-bake.hcl

variable "REGISTRY" {
  default = "flyte-build" # REGISTRY/runtime, REGISTRY/endpoint, …
}

variable "VERSION" {
  default = "dev" # v1.2.3 gives the tags v1.2.3 and 1.2.3
}

variable "BASES" {
  default = "images/bases.Dockerfile" # a Dockerfile with the stages python3.10 to python3.14
}

variable "DIST" {
  default = "dist" # a folder with one wheel of flyte-build: `make package`
}

# Files of this machine for the steps, which are no part of any image: a CA bundle (PEM), shell lines that export
# UV_DEFAULT_INDEX and PIP_INDEX_URL, a netrc.
variable "CA_BUNDLE" {
  default = ""
}

variable "INDEX_SCRIPT" {
  default = ""
}

variable "NETRC_FILE" {
  default = ""
}

# GitHub's workflows set these.
variable "GITHUB_SHA" {
  default = ""
}

variable "GITHUB_REPOSITORY" {
  default = "flyte-build/flyte-build"
}

function "tags" {
  params = [name, prefix]
  result = [for version in distinct([VERSION, trimprefix(VERSION, "v")]) : "${REGISTRY}/${name}:${prefix}${version}"]
}

function "labels" {
  params = [title, description]
  result = {
    for key, value in {
      "title"         = title
      "description"   = description
      "version"       = trimprefix(VERSION, "v")
      "revision"      = GITHUB_SHA
      "source"        = "https://github.com/${GITHUB_REPOSITORY}"
      "documentation" = "https://github.com/${GITHUB_REPOSITORY}/tree/main/images"
      "licenses"      = "Apache-2.0"
    } : "org.opencontainers.image.${key}" => value if value != ""
  }
}

group "default" {
  targets = ["runtime", "endpoint", "builder", "build-image"]
}

target "base" {
  name       = "base-${replace(python, ".", "")}"
  matrix     = { python = ["3.10", "3.11", "3.12", "3.13", "3.14"] }
  dockerfile = BASES
  target     = "python${python}"
  platforms  = ["linux/amd64", "linux/arm64"]
}

target "_image" {
  dockerfile = "images/Dockerfile"
  platforms  = ["linux/amd64", "linux/arm64"]
  attest     = ["type=provenance,mode=max"]
  secret = compact([
    CA_BUNDLE != "" ? "id=ca,src=${CA_BUNDLE}" : "",
    INDEX_SCRIPT != "" ? "id=index,src=${INDEX_SCRIPT}" : "",
    NETRC_FILE != "" ? "id=netrc,src=${NETRC_FILE}" : "",
  ])
}

target "_service" {
  inherits = ["_image"]
  contexts = { base = "target:base-313", dist = DIST }
}

target "runtime" {
  name     = "runtime-${replace(python, ".", "")}"
  inherits = ["_image"]
  matrix   = { python = ["3.10", "3.11", "3.12", "3.13", "3.14"] }
  contexts = { base = "target:base-${replace(python, ".", "")}" }
  target   = "runtime"
  tags     = tags("runtime", "py${python}-")
  labels   = labels("flyte-build runtime", "Python ${python} with the Flyte 2 SDK and uv, for tasks")
}

target "endpoint" {
  inherits = ["_service"]
  target   = "endpoint"
  tags     = tags("endpoint", "")
  labels   = labels("flyte-build endpoint", "Answers the Flyte 2 SDK: image builds, code bundles, runs")
}

target "builder" {
  inherits = ["_service"]
  target   = "builder"
  tags     = tags("builder", "")
  labels   = labels("flyte-build builder", "Takes builds of a flyte-build endpoint, beside a BuildKit")
}

target "build-image" {
  inherits = ["_service"]
  target   = "build-image"
  tags     = tags("build-image", "")
  labels   = labels("flyte-build build-image", "The task that builds images in a Flyte 2 cluster")
}
