"""What every manifest must hold, those in kubernetes/ and those that the Helm chart renders: schemas, references, images,
and what a container of poolwatch is like. `problems` has what does not hold."""

import re
import subprocess
import tempfile
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# The first with native sidecars by default, and the newest that is known.
KUBERNETES = ["1.29", kubernetes_validate.latest_version()]
PORT = 8001
OPERATOR = yaml.safe_load((HERE / "kubernetes/operator.schema.yaml").read_text())
problems = []


def require(holds, where, message):
    if not holds:
        problems.append(f"{where}: {message}")


def check_image(image, where):
    require(re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", image), where, f"{image} is not pinned to a version")


def check_manifest(file, manifest):
    where = f"{file}: {manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"
    try:
        if manifest["apiVersion"].startswith("monitoring.coreos.com/"):
            jsonschema.validate(manifest, OPERATOR)
        else:
            for version in KUBERNETES:
                kubernetes_validate.validate(manifest, version, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        problems.append(f"{where}: {error.message}, at {'.'.join(map(str, error.path))}")


def check_manifests(manifests, secrets=()):
    """All of one installation, by kind and name: each by itself, and what they say of one another. `manifests` are
    (file, manifest); `secrets` are there without a manifest."""
    found = {}
    for file, manifest in manifests:
        check_manifest(file, manifest)
        found[manifest["kind"], manifest["metadata"]["name"]] = manifest
    names = found.keys() | {("Secret", name) for name in secrets}
    pods = {}
    for (kind, name), manifest in found.items():
        if kind == "Deployment":
            where = f"Deployment {name}"
            labels = manifest["spec"]["template"]["metadata"]["labels"]
            require(manifest["spec"]["selector"]["matchLabels"].items() <= labels.items(), where, "selects no pod of its own")
            check_pod(manifest["spec"]["template"]["spec"], names, where)
            pods[name] = (labels, manifest["spec"]["template"]["spec"])
    check_budgets(found)
    for (kind, name), manifest in found.items():
        check_selection(f"{kind} {name}", kind, manifest["spec"] if "spec" in manifest else {}, pods)
    return found


def check_budgets(found):
    """Who runs more than once keeps one when nodes are drained, and who runs once hinders nobody."""
    budgets = [manifest["spec"] for (kind, _), manifest in found.items() if kind == "PodDisruptionBudget"]
    for (kind, name), manifest in found.items():
        labels = manifest["spec"]["template"]["metadata"]["labels"] if kind == "Deployment" else {}
        if labels.get("poolwatch") != "watcher":
            continue
        limits = [budget.get("maxUnavailable") for budget in budgets if selects(budget["selector"], labels)]
        wanted = [1] if manifest["spec"]["replicas"] > 1 else []
        require(limits == wanted, f"Deployment {name}", f"budgets for disruptions are {limits}, and not {wanted}")


def check_selection(where, kind, spec, pods):
    """Who selects pods selects some, and names ports that they have."""
    selector = spec.get("podSelector" if kind == "NetworkPolicy" else "selector", {})
    if kind not in ("NetworkPolicy", "PodDisruptionBudget", "PodMonitor"):
        return
    chosen = [pod for labels, pod in pods.values() if selects(selector, labels)]
    # A release of the chart for monitoring alone has no pods.
    require(chosen or not pods, where, "selects no pod")
    ports = {port[key] for pod in chosen for port in ports_of(pod) for key in ("name", "containerPort")}
    rules = spec.get("ingress", []) if kind == "NetworkPolicy" else []
    named = [port["port"] for rule in rules for port in rule["ports"]]
    named += [endpoint["port"] for endpoint in spec.get("podMetricsEndpoints", [])]
    for port in named:
        require(not pods or port in ports, where, f"no such pod has a port {port}")


def selects(selector, labels):
    expressions = [labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", []) if one["operator"] == "In"]
    return selector.get("matchLabels", {}).items() <= labels.items() and all(expressions)


def containers_of(pod):
    return [*pod.get("initContainers", []), *pod["containers"]]


def ports_of(pod):
    return [port for container in containers_of(pod) for port in container["ports"]]


def check_pod(pod, names, where):
    """Every reference inside it."""
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    containers = containers_of(pod)
    for container in containers:
        check_image(container["image"], where)
        for mount in container.get("volumeMounts", []):
            require(mount["name"] in volumes, where, f"no volume {mount['name']}")
        for variable in container.get("env", []):
            secret = variable.get("valueFrom", {}).get("secretKeyRef", {}).get("name")
            require(not secret or ("Secret", secret) in names, where, f"no secret {secret}")
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            require(container.get(probe, {}).get("httpGet", {}).get("port", min(ports)) in ports, where, f"{probe} has no such port")
    for volume in volumes.values():
        for kind, key, name in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
            require(key not in volume or (kind, volume[key][name]) in names, where, f"volume {volume['name']} is of no {kind}")
        require(any(mount["name"] == volume["name"] for container in containers for mount in container["volumeMounts"]), where,
                f"nobody mounts {volume['name']}")


class Poolwatch:
    """The program, and a file with a password that stands for each that settings name."""

    def __init__(self, program, password):
        self.program, self.password = program, password

    def accepts(self, where, arguments, settings=""):
        """Reads the settings as a container would, from a file in its place."""
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            file.write(re.sub(r"(password_file: ).*", rf"\g<1>{self.password}", settings))
            file.flush()
            arguments = [re.sub(r"^(--config.file=).*", rf"\g<1>{file.name}", argument) for argument in arguments]
            result = subprocess.run([self.program, "--config.check", *arguments], capture_output=True, text=True)
        require(result.returncode == 0, where, f"poolwatch {' '.join(arguments)}: {result.stderr.strip()}")

    def check_container(self, container, pod, settings, where):
        """What every container of poolwatch is like."""
        self.accepts(where, container["args"], settings)
        probes = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
        require(probes == {"startup": "/-/healthy", "liveness": "/-/healthy", "readiness": "/-/ready"}, where, f"probes are {probes}")
        require(container["ports"] == [{"name": "poolwatch", "containerPort": PORT}], where, f"does not listen on {PORT}")
        secure = container["securityContext"]
        for key, value in {"runAsNonRoot": True, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
                           "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}.items():
            require(secure.get(key) == value, where, f"securityContext.{key} must be {value}")
        user = re.search(r"^USER (\d+):", (ROOT / "Dockerfile").read_text(), re.M)[1]
        require({str(secure["runAsUser"]), str(secure["runAsGroup"]), str(pod["securityContext"]["fsGroup"])} == {user}, where,
                f"user and group must be {user}, as in the Dockerfile")

    def check_sidecar(self, pod, where):
        """It listens to the workers of its pod, and is given no secret and no database."""
        sidecar = next(container for container in pod["initContainers"] if container["name"] == "poolwatch")
        self.check_container(sidecar, pod, "", where)
        require(sidecar["args"] == ["run", "--role=sidecar"] and "DATABASE_URL" not in str(sidecar), where, "may read a server")
        require(sidecar["restartPolicy"] == "Always", where, "an init container is a sidecar by restartPolicy Always")
        require(places(sidecar) == ["/run/poolwatch"], where, f"mounts {places(sidecar)}, and not just the folder of the socket")
        applications = [container for container in pod["containers"] if "/run/poolwatch" in places(container)]
        require(applications, where, "no container can reach the socket")

    def check_watcher(self, deployment, settings, where):
        """It reads one server; of several one leads, and there are never more."""
        pod = deployment["template"]["spec"]
        parsed = yaml.safe_load(settings)
        elects = all(server.get("leader_election") is True for server in parsed["servers"].values())
        if deployment["replicas"] == 1 and not elects:
            require(deployment["strategy"] == {"type": "Recreate"}, where, "may run twice at a time")
        else:
            require(elects, where, "several would read the server")
            rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
            require(deployment["strategy"] == rolling, where, "may have more pods than connections, or none")
            spread = pod.get("topologySpreadConstraints", [])
            labels = deployment["template"]["metadata"]["labels"]
            require(spread and all(selects(one["labelSelector"], labels) for one in spread), where, "may run on one node")
        watcher = next(container for container in pod["containers"] if container["name"] == "poolwatch")
        self.check_container(watcher, pod, settings, where)
        require(len(parsed["servers"]) == 1 and parsed.get("role") == "watcher", where, "does not read one server and nothing else")
        for path in [*re.findall(r"password_file: (\S+)", settings), *re.findall(r"--config.file=(\S+)", " ".join(watcher["args"]))]:
            require(any(path.startswith(f"{place}/") for place in places(watcher)), where, f"{path} is on no volume")


def places(container):
    return [mount["mountPath"] for mount in container["volumeMounts"]]


def promtools():
    """Those of Prometheus 2 and 3."""
    return subprocess.run([HERE.parent / "tools/newer", "promtool"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()


def check_rules(where, spec):
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump(spec, file)
        for promtool in promtools():
            result = subprocess.run([promtool, "check", "rules", "--lint=all", "--lint-fatal", file.name], capture_output=True, text=True)
            require(result.returncode == 0, where, f"{promtool}: {result.stdout}{result.stderr}")
