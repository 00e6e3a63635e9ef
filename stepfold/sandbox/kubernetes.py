"""One run as a Kubernetes Job: the manifests, for whoever applies them.

The Job takes the request on stdin (`kubectl attach --stdin`), replies on stdout and prints to
stderr, as every backend does. It may reach nothing, by a policy that comes before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stepfold.sandbox.container import IMAGE, USER, inside
from stepfold.sandbox.sandbox import Limits

Manifest = Mapping[str, Any]
LABEL = "stepfold.dev/sandbox"
KEPT_S = 60
"""How long an ended Job stays."""


def manifests(
    name: str,
    limits: Limits,
    *,
    namespace: str = "stepfold-sandbox",
    image: str = IMAGE,
    runtime: str = "",
) -> tuple[Manifest, Manifest]:
    """A network policy and a Job, to be applied in this order. `runtime` is the cluster's
    RuntimeClass of gVisor; empty: the node's own. Processes are limited per pod by the kubelet
    (`podPidsLimit`): a Job cannot say it.
    """
    about = {"name": name, "namespace": namespace, "labels": {LABEL: name}}
    return _policy(about, name), _job(about, name, limits, image=image, runtime=runtime)


def _policy(about: Manifest, name: str) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": dict(about),
        "spec": {
            "podSelector": {"matchLabels": {LABEL: name}},
            "policyTypes": ["Ingress", "Egress"],
        },
    }


def _job(about: Manifest, name: str, limits: Limits, *, image: str, runtime: str) -> Manifest:
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostNetwork": False,
        "hostPID": False,
        "hostIPC": False,
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(limits, image)],
        "volumes": [
            {"name": "work", "emptyDir": {"medium": "Memory", "sizeLimit": limits.files_bytes}}
        ],
    }
    if runtime:
        pod["runtimeClassName"] = runtime
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": dict(about),
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": math.ceil(limits.wall_s) + KEPT_S,
            "ttlSecondsAfterFinished": KEPT_S,
            "template": {"metadata": {"labels": {LABEL: name}}, "spec": pod},
        },
    }


def _container(limits: Limits, image: str) -> Manifest:
    most = {
        "cpu": "1",
        "memory": str(limits.memory_bytes + limits.files_bytes),
        "ephemeral-storage": str(limits.files_bytes),
    }
    return {
        "name": "code",
        "image": image,
        "command": list(inside()),
        "stdin": True,
        "stdinOnce": True,
        "tty": False,
        "workingDir": "/work",
        "env": [{"name": "HOME", "value": "/work"}, {"name": "MALLOC_ARENA_MAX", "value": "1"}],
        "resources": {"limits": most, "requests": most},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "work", "mountPath": "/work"}],
    }
