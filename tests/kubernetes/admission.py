"""What a Kubernetes API server would refuse in a manifest, as far as can be told without one.

Fields, their types and which are required come from the models of the ``kubernetes`` package, which are generated from
the API's own description. The rules are those of the API's validation that concern jobs like ours.
"""

import re
from inspect import signature

from kubernetes import client
from kubernetes.utils.quantity import parse_quantity

KINDS = {
    ("v1", "Namespace"),
    ("v1", "ServiceAccount"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("batch/v1", "Job"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
}
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?")
VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
PLAIN = {"str": str, "int": int, "float": (int, float), "bool": bool, "object": object, "datetime": str}


def check(manifest: dict) -> list[str]:
    """Return one sentence per violation, with the field's path; nothing for a manifest that would be accepted."""
    kind = manifest.get("apiVersion"), manifest.get("kind")
    if kind not in KINDS:
        return [f"no such kind: {kind}"]
    errors = list(_fields(manifest, f"V1{kind[1]}", kind[1]))
    if errors:
        return errors  # the rules may rely on the types
    errors += _metadata(manifest.get("metadata", {}), "metadata")
    match manifest["kind"]:
        case "Job":
            errors += _job(manifest["spec"])
        case "PersistentVolumeClaim":
            requests = manifest["spec"].get("resources", {}).get("requests", {})
            if "storage" not in requests or not manifest["spec"].get("accessModes"):
                errors.append("spec: a claim needs accessModes and resources.requests.storage")
            errors += _quantities(requests, "spec.resources.requests")
        case "RoleBinding" if manifest["roleRef"]["kind"] not in {"Role", "ClusterRole"}:
            errors.append("roleRef.kind: Role or ClusterRole")
    return errors


def _fields(value, kind: str, where: str):
    """Compare a value with a type of the API's description: ``V1Job``, ``list[str]``, ``dict(str, str)``, ``int``."""
    if inner := re.fullmatch(r"list\[(.+)]", kind):
        if not isinstance(value, list):
            yield f"{where}: must be a list, not {value!r}"
            return
        for i, one in enumerate(value):
            yield from _fields(one, inner[1], f"{where}[{i}]")
    elif inner := re.fullmatch(r"dict\(str, (.+)\)", kind):
        if not isinstance(value, dict):
            yield f"{where}: must be a map, not {value!r}"
            return
        for key, one in value.items():
            yield from _fields(one, inner[1], f"{where}[{key}]")
    elif kind in PLAIN:
        if not isinstance(value, PLAIN[kind]) or (isinstance(value, bool) and kind not in {"bool", "object"}):
            yield f"{where}: must be {kind}, not {value!r}"
    else:
        model = getattr(client, kind)
        if not isinstance(value, dict):
            yield f"{where}: must be an object, not {value!r}"
            return
        names = {json: name for name, json in model.attribute_map.items()}
        for key in value:
            if key not in names:
                yield f"{where}.{key}: unknown field"
            elif value[key] is not None:
                yield from _fields(value[key], model.openapi_types[names[key]], f"{where}.{key}")
        yield from _required(model, names, value, where)


def _required(model, names, value, where):
    """The models refuse None in required fields, one at a time: fill them in to find the next one."""
    given = {names[key]: one for key, one in value.items() if key in names and one is not None}
    missing = True
    while missing:
        try:
            model(**given)
            return
        except ValueError as error:
            missing = re.search(r"`(\w+)`, must not be `None`", str(error))
            if missing and missing[1] in signature(model.__init__).parameters:
                yield f"{where}.{model.attribute_map[missing[1]]}: is required"
                given[missing[1]] = ""


def _metadata(metadata, where):
    name = metadata.get("name", "")
    if not SUBDOMAIN.fullmatch(name):
        yield f"{where}.name: {name!r} is not a name of lower-case letters, digits, '-' and '.'"
    for key, value in (metadata.get("labels") or {}).items():
        if not LABEL_VALUE.fullmatch(value):
            yield f"{where}.labels[{key}]: {value!r} is not a label's value"


def _job(spec):
    template = spec["template"].get("spec")
    if template is None:
        yield "spec.template.spec: is required"
        return
    if spec.get("backoffLimit", 0) < 0:
        yield "spec.backoffLimit: must not be negative"
    if template.get("restartPolicy") not in {"Never", "OnFailure"}:
        yield "spec.template.spec.restartPolicy: a job's pods must have Never or OnFailure"
    yield from _pod(template, "spec.template.spec")


def _pod(spec, where):
    volumes = [one["name"] for one in spec.get("volumes") or []]
    for volume in spec.get("volumes") or []:
        place = f"{where}.volumes[{volume['name']}]"
        if not LABEL.fullmatch(volume["name"]):
            yield f"{place}: {volume['name']!r} is not a DNS label"
        if len(volume) != 2:
            yield f"{place}: must have exactly one source, has {sorted(set(volume) - {'name'})}"
    if len(set(volumes)) < len(volumes):
        yield f"{where}.volumes: a name appears twice"
    for toleration in spec.get("tolerations") or []:
        if toleration.get("operator", "Equal") == "Exists" and toleration.get("value"):
            yield f"{where}.tolerations: value must be empty when the operator is Exists"
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    if not spec["containers"]:
        yield f"{where}.containers: is required"
    if len({one["name"] for one in containers}) < len(containers):
        yield f"{where}.containers: a name appears twice"
    for container in containers:
        yield from _container(container, volumes, f"{where}.containers[{container['name']}]")


def _container(container, volumes, where):
    if not LABEL.fullmatch(container["name"]):
        yield f"{where}.name: {container['name']!r} is not a DNS label"
    if not container.get("image"):
        yield f"{where}.image: is required"
    paths = []
    for mount in container.get("volumeMounts") or []:
        paths.append(mount["mountPath"])
        if mount["name"] not in volumes:
            yield f"{where}.volumeMounts[{mount['name']}]: there is no such volume"
        if ":" in mount["mountPath"] or not mount["mountPath"].startswith("/"):
            yield f"{where}.volumeMounts[{mount['name']}]: {mount['mountPath']!r} is not an absolute path without ':'"
        if mount.get("subPath", "").startswith("/") or ".." in mount.get("subPath", "").split("/"):
            yield f"{where}.volumeMounts[{mount['name']}]: subPath must be relative, without '..'"
    if len(set(paths)) < len(paths):
        yield f"{where}.volumeMounts: a path appears twice"
    for variable in container.get("env") or []:
        if not VARIABLE.fullmatch(variable["name"]):
            yield f"{where}.env: {variable['name']!r} is not a variable's name"
        if variable.get("value") and variable.get("valueFrom"):
            yield f"{where}.env[{variable['name']}]: has both value and valueFrom"
    yield from _resources(container.get("resources") or {}, f"{where}.resources")


def _quantities(values, where):
    for name, value in values.items():
        try:
            negative = parse_quantity(value) < 0
        except ValueError:
            yield f"{where}[{name}]: {value!r} is not a quantity"
        else:
            if negative:
                yield f"{where}[{name}]: must not be negative"


def _resources(resources, where):
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    errors = [*_quantities(requests, f"{where}.requests"), *_quantities(limits, f"{where}.limits")]
    yield from errors
    if errors:
        return
    for name in {**requests, **limits}:
        extended = "/" in name and not name.startswith("kubernetes.io/")
        if not extended and name not in {"cpu", "memory", "ephemeral-storage"} and not name.startswith("hugepages-"):
            yield f"{where}: {name!r} is not a resource of a container"
        values = [parse_quantity(one[name]) for one in (requests, limits) if name in one]
        if extended and any(value % 1 for value in values):
            yield f"{where}: {name} must be a whole number"
        if extended and name not in limits:
            yield f"{where}.limits[{name}]: Limit must be set for non overcommitable resources"
        elif extended and parse_quantity(requests.get(name, limits[name])) != parse_quantity(limits[name]):
            yield f"{where}.requests[{name}]: must be equal to {name} limit of {limits[name]}"
        elif name in requests and name in limits and parse_quantity(requests[name]) > parse_quantity(limits[name]):
            yield f"{where}.requests[{name}]: must be less than or equal to the limit of {limits[name]}"
