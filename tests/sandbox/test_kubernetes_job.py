"""The manifests are those of a Job that may do nothing but compute."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from stepfold.sandbox.kubernetes import manifests
from stepfold.sandbox.sandbox import Limits

LIMITS = Limits(wall_s=9.5, memory_bytes=64_000_000, files_bytes=1_000_000)


def made(**more: str) -> tuple[Any, Any]:
    return manifests("run-1", LIMITS, **more)


def test_the_policy_comes_first_and_lets_nothing_in_or_out() -> None:
    policy, job = made()

    assert policy["kind"] == "NetworkPolicy"
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & policy["spec"].keys()
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"] == labels


def test_a_job_runs_once_and_not_for_ever() -> None:
    _, job = made()

    spec = job["spec"]
    assert (spec["backoffLimit"], spec["completions"]) == (0, 1)
    assert spec["activeDeadlineSeconds"] == 70
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_a_pod_is_nobody_and_knows_nothing_of_its_cluster() -> None:
    _, job = made()

    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"] == "65000000"
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert (container["stdin"], container["tty"]) == (True, False)


def test_gvisor_is_named_by_its_class() -> None:
    assert "runtimeClassName" not in made()[1]["spec"]["template"]["spec"]
    assert made(runtime="gvisor")[1]["spec"]["template"]["spec"]["runtimeClassName"] == "gvisor"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
def test_kubectl_reads_the_manifests() -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(made())})

    done = subprocess.run(
        ["kubectl", "patch", "--local", "--filename", "-", "--patch", "{}", "--output", "name"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.stdout.split() == ["networkpolicy.networking.k8s.io/run-1", "job.batch/run-1"], (
        done.stderr
    )
