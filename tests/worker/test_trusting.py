"""What is attached and signed: flags before variables before the table, and on unless somebody says no."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from flyte_build.builder.provenance import BUILDER_CLI
from flyte_build.registry.errors import InvalidInput, InvalidSpec
from flyte_build.worker.cli.image import image
from flyte_build.worker.cli.trusting import TrustFlags
from flyte_build.worker.settings import load


def table(folder: Path, *lines: str) -> Path:
    (folder / "pyproject.toml").write_text("\n".join(["[tool.flyte-build]", *lines]))
    return folder


def test_everything_is_on_and_nothing_is_signed_by_itself(tmp_path: Path) -> None:
    trust = TrustFlags().trust(load(tmp_path, {}), BUILDER_CLI)
    assert (trust.sbom, trust.provenance, trust.signer, trust.builder) == (True, True, None, BUILDER_CLI)


def test_variables_come_before_the_table_and_flags_before_both(tmp_path: Path) -> None:
    table(tmp_path, "sbom = false", "provenance = false", 'builder_id = "https://a.example/ci"')
    found = load(tmp_path, {"FLYTE_BUILD_SBOM": "TRUE"})
    trust = TrustFlags(provenance=True).trust(found, BUILDER_CLI)
    assert (trust.sbom, trust.provenance, trust.builder) == (True, True, "https://a.example/ci")
    off = TrustFlags(sbom=False).trust(found, BUILDER_CLI)
    assert (off.sbom, off.provenance) == (False, False)


@pytest.mark.parametrize("flags", [TrustFlags(sign="a.key"), TrustFlags()])
def test_a_key_of_the_flags_or_of_the_settings_signs(tmp_path: Path, flags: TrustFlags) -> None:
    table(tmp_path, 'sign = "b.key"', "tlog = false")
    signer = flags.trust(load(tmp_path, {}), BUILDER_CLI).signer
    assert repr(signer).startswith(f"CosignSigner(how=Signing(key={flags.sign or 'b.key'!r}, tlog=False)")


def test_a_switch_that_is_neither_on_nor_off_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="FLYTE_BUILD_SBOM is 'maybe'"):
        load(tmp_path, {"FLYTE_BUILD_SBOM": "maybe"})
    with pytest.raises(InvalidSpec, match="tlog: is text, not true or false"):
        load(table(tmp_path, 'tlog = "no"'), {})


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        pytest.param(["--sign", "k", "--load"], "--sign signs what is pushed", id="load"),
        pytest.param(["--sign", "k", "--no-push"], "--sign signs what is pushed", id="no push"),
        pytest.param(["--sign", "k", "--engine", "remote"], "the service signs what it builds", id="sign, remote"),
        pytest.param(
            ["--no-sbom", "--engine", "remote"], "--no-sbom does not go with --engine remote", id="no sbom, remote"
        ),
    ],
)
def test_flags_that_make_no_sense_together_are_usage_errors(flags: list[str], sentence: str) -> None:
    done = CliRunner().invoke(image, ["image.toml", *flags])
    assert (done.exit_code, sentence in done.output) == (2, True), done.output
