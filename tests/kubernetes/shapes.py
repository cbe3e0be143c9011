"""Kinds that are not Kubernetes' own, as strictly as we use them: what is not said here is an error.

Sources: KEDA 2.21 (ScaledObject specification, metrics-api scaler, authentication), cert-manager's API reference,
Google's BackendConfig reference.
"""

from __future__ import annotations

from collections.abc import Mapping

Schema = Mapping[str, object]
_TEXT: Schema = {"type": "string", "minLength": 1}
_NUMBER: Schema = {"type": "integer", "minimum": 0}


def _object(required: Mapping[str, object], **optional: object) -> Schema:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **optional},
        "additionalProperties": False,
    }


def _list(items: object) -> Schema:
    return {"type": "array", "minItems": 1, "items": items}


def _choice(*values: str) -> Schema:
    return {"enum": list(values)}


_METADATA = _object({"name": _TEXT, "namespace": _TEXT}, labels={"type": "object"}, annotations={"type": "object"})


def _kind(version: str, kind: str, spec: Schema) -> Schema:
    return _object({"apiVersion": {"const": version}, "kind": {"const": kind}, "metadata": _METADATA, "spec": spec})


_POLICY = _object({"type": _choice("Pods", "Percent"), "value": _NUMBER, "periodSeconds": _NUMBER})
_SCALE = _object({"policies": _list(_POLICY)}, stabilizationWindowSeconds=_NUMBER)
_BEHAVIOR = _object({}, scaleDown=_SCALE, scaleUp=_SCALE)
_TRIGGER = _object(
    {
        "type": {"const": "metrics-api"},
        "name": _TEXT,
        "metadata": _object(
            {
                "url": {"type": "string", "pattern": "^http://[a-z.-]+:[0-9]+/metrics$"},
                "format": {"const": "prometheus"},
                "valueLocation": _TEXT,
                # Values of a trigger's metadata are strings, also numbers.
                "targetValue": {"type": "string", "pattern": "^[0-9]+$"},
                "authMode": {"const": "bearer"},
            }
        ),
        "authenticationRef": _object({"name": _TEXT}),
    }
)
_SCALED_OBJECT = _object(
    {
        "scaleTargetRef": _object({"apiVersion": _TEXT, "kind": _TEXT, "name": _TEXT}),
        "triggers": _list(_TRIGGER),
        "advanced": _object(
            {
                "scalingModifiers": _object(
                    {
                        "formula": _TEXT,
                        "target": {"type": "string", "pattern": "^[0-9]+$"},
                        "metricType": {"const": "AverageValue"},
                    }
                ),
                "horizontalPodAutoscalerConfig": _object({"behavior": _BEHAVIOR}),
            }
        ),
    },
    pollingInterval=_NUMBER,
    minReplicaCount=_NUMBER,
    maxReplicaCount=_NUMBER,
    fallback=_object({"failureThreshold": _NUMBER, "replicas": _NUMBER, "behavior": _TEXT}),
)
_AUTHENTICATION = _object(
    {"secretTargetRef": _list(_object({"parameter": {"const": "token"}, "name": _TEXT, "key": _TEXT}))}
)
_HOURS: Schema = {"type": "string", "pattern": "^[0-9]+h$"}
_CERTIFICATE = _object(
    {
        "secretName": _TEXT,
        "commonName": {"type": "string", "minLength": 1, "maxLength": 64},
        "issuerRef": _object({"name": _TEXT, "kind": {"const": "Issuer"}}),
        "duration": _HOURS,
        "privateKey": _object({"algorithm": {"const": "ECDSA"}, "size": {"const": 256}}),
    },
    isCA={"const": True},
    renewBefore=_HOURS,
    dnsNames=_list(_TEXT),
    usages=_list(_choice("server auth", "client auth")),
)
_ISSUER: Schema = {"oneOf": [_object({"selfSigned": _object({})}), _object({"ca": _object({"secretName": _TEXT})})]}
_BACKEND = _object(
    {
        "timeoutSec": _NUMBER,
        "healthCheck": _object({"type": {"const": "HTTP"}, "requestPath": _TEXT, "port": _NUMBER}),
    }
)
_KINDS = (
    ("keda.sh/v1alpha1", "ScaledObject", _SCALED_OBJECT),
    ("keda.sh/v1alpha1", "TriggerAuthentication", _AUTHENTICATION),
    ("cert-manager.io/v1", "Certificate", _CERTIFICATE),
    ("cert-manager.io/v1", "Issuer", _ISSUER),
    ("cloud.google.com/v1", "BackendConfig", _BACKEND),
)
SHAPES: Mapping[tuple[str, str], Schema] = {
    (version, kind): _kind(version, kind, spec) for version, kind, spec in _KINDS
}
