"""Specs as Hypothesis makes them: every kind of layer, with every option, and any text."""

from __future__ import annotations

from hypothesis import strategies as st

from flyte_build.builder.spec import (
    Apt,
    CodeBundle,
    Commands,
    Copy,
    Env,
    ImageSpec,
    Layer,
    Pip,
    PipOptions,
    PixiProject,
    PixiScript,
    PoetryProject,
    Requirements,
    SecretMount,
    User,
    UvProject,
    UvScript,
    Wheels,
    Workdir,
    sorted_variables,
)
from flyte_build.registry.descriptors import Platform

# What UTF-8 can carry; half of it what documents quote.
TEXT = st.text(st.one_of(st.sampled_from("\"'\\\n\r\t\0\x7f#$=[]{}. é☃"), st.characters(codec="utf-8")), max_size=12)
WORDS = TEXT.filter(bool)
MANY = st.lists(TEXT, max_size=3).map(tuple)
OPTIONS = st.builds(PipOptions, index_url=st.none() | TEXT, extra_index_urls=MANY, pre=st.booleans(), extra_args=TEXT)
SECRETS = st.lists(st.builds(SecretMount, name=WORDS, env=st.none() | TEXT), max_size=2).map(tuple)
INSTALL = st.sampled_from(["dependencies", "project"])
MAYBE = st.none() | TEXT
LAYERS: list[st.SearchStrategy[Layer]] = [
    st.builds(Apt, packages=MANY, secrets=SECRETS),
    st.builds(Pip, packages=MANY, options=OPTIONS, secrets=SECRETS),
    st.builds(Requirements, file=WORDS, options=OPTIONS, secrets=SECRETS),
    st.builds(Commands, commands=MANY, secrets=SECRETS),
    st.builds(Env, variables=st.dictionaries(TEXT, TEXT, max_size=3).map(sorted_variables)),
    st.builds(Workdir, path=WORDS),
    st.builds(Copy, source=WORDS, to=WORDS, contents=st.booleans(), ignore=MANY, owner=MAYBE),
    st.builds(User, name=WORDS),
    st.builds(UvProject, project=WORDS, install=INSTALL, lock=MAYBE, options=OPTIONS, secrets=SECRETS),
    st.builds(UvScript, script=WORDS, options=OPTIONS, secrets=SECRETS),
    st.builds(Wheels, folder=WORDS, package=WORDS, options=OPTIONS, secrets=SECRETS),
    st.builds(PoetryProject, project=WORDS, install=INSTALL, lock=MAYBE, extra_args=TEXT, secrets=SECRETS),
    st.builds(
        PixiProject,
        manifest=WORDS,
        install=INSTALL,
        lock=MAYBE,
        environment=WORDS,
        extra_args=TEXT,
        secrets=SECRETS,
    ),
    st.builds(PixiScript, script=WORDS, environment=WORDS, extra_args=TEXT, secrets=SECRETS),
    st.builds(CodeBundle, folder=WORDS, files=MANY, to=WORDS, owner=MAYBE),
]
PLATFORMS = st.sampled_from(["linux/amd64", "linux/arm64"]).map(Platform.parse)
SPECS: st.SearchStrategy[ImageSpec] = st.builds(
    ImageSpec,
    name=WORDS,
    registry=MAYBE,
    registry_secret=MAYBE,
    base=MAYBE,
    ref=MAYBE,
    python=MAYBE,
    platforms=st.lists(PLATFORMS, max_size=2).map(tuple),
    layers=st.lists(st.one_of(LAYERS), max_size=4).map(tuple),
    dockerignore=MAYBE,
    dockerfile=MAYBE,
)
