#!/usr/bin/env python3
"""Checks the files of deploy/ against the source: every metric with its labels, every configuration variable, command, path and
port that they name exists; YAML and JSON can be read; the chart renders to objects that fit together; the rules hold what their
tests say. Needs nothing but Python; what needs PyYAML, helm (or Go with sprig, see helm/render) or promtool is left out
without it, and named; so are the units without systemd-analyze. With --require that is a failure.
"""

import atexit
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import yaml
except ImportError:
    yaml = None

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
CHART = os.path.join(HERE, "helm", "eim")
# What Prometheus adds by itself.
TARGET_LABELS = {"job", "instance", "le", "alertname"}
problems, left_out = [], []


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def wrong(where, what):
    problems.append(f"{where}: {what}")


def sources(*folders):
    for folder in folders:
        for path in sorted(glob.glob(os.path.join(ROOT, folder, "**", "*.rs"), recursive=True)):
            with open(path, encoding="utf-8") as file:
                yield file.read()


# --- metrics

def known_metrics():
    """Name -> labels, from the one place that registers them."""
    text = read("eim-core", "src", "metrics.rs")
    found = list(re.finditer(r'"(eim_\w+)"', text))
    metrics = {}
    for this, following in zip(found, found[1:] + [None]):
        piece = text[this.end(): following.start() if following else len(text)]
        labels = re.search(r"&\[([^\]]*)\]", piece)
        names = set(re.findall(r'"(\w+)"', labels.group(1))) if labels else set()
        # The scrape's own label of that name wins.
        metrics[this.group(1)] = {"exported_job" if name == "job" else name for name in names}
    # The process collector of the crate prometheus (Linux).
    for name in ["cpu_seconds_total", "open_fds", "max_fds", "virtual_memory_bytes", "resident_memory_bytes", "start_time_seconds", "threads"]:
        metrics["process_" + name] = set()
    metrics["up"] = set()
    return metrics


def check_expression(where, expression, metrics, literals):
    plain = re.sub(r'"[^"]*"', '""', expression)
    used = set()
    for name, suffix in re.findall(r"\b((?:eim|process)_\w+?|up)(_bucket|_count|_sum)?\b(?!\s*\()", plain):
        if name + suffix in metrics:
            used.add(name + suffix)
        elif name in metrics and suffix:
            used.add(name)
        else:
            wrong(where, f"no metric {name}{suffix}")
    if not used:
        wrong(where, f"no metric of ours in {expression!r}")
    labels = set().union(*(metrics.get(name, set()) for name in used)) | TARGET_LABELS
    for name, _, value in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', expression):
        if name not in labels:
            wrong(where, f"no label {name} at {sorted(used)}")
        if name in TARGET_LABELS or "$" in value:
            continue
        for one in value.split("|"):
            # `.*Unverified` is put together at run time.
            if one.removeprefix(".*") not in literals and one != ".*Unverified":
                wrong(where, f"the source has no value {one!r} for {name}")
    for group in re.findall(r"\b(?:by|on|without|group_left|group_right)\s*\(([^)]*)\)", plain):
        for name in filter(None, (part.strip() for part in group.split(","))):
            if name not in labels:
                wrong(where, f"no label {name} at {sorted(used)}")


def expressions_of(value, where):
    """Every PromQL expression in rules or a dashboard."""
    if isinstance(value, dict):
        where = value.get("alert") or value.get("title") or where
        for key, inner in value.items():
            if key == "expr":
                yield where, inner
            else:
                yield from expressions_of(inner, where)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions_of(inner, where)


def check_metrics():
    metrics = known_metrics()
    literals = set()
    for text in sources("eim-core/src", "eim-server/src"):
        literals.update(re.findall(r'"([\w.-]+)"', text))
    dashboard = json.loads(read("deploy", "grafana", "eim.json"))
    seen = [("grafana/eim.json: " + where, text) for where, text in expressions_of(dashboard, "")]
    identifiers = [panel["id"] for panel in dashboard["panels"]]
    if len(identifiers) != len(set(identifiers)):
        wrong("grafana/eim.json", "two panels have the same id")
    if yaml:
        seen += [("prometheus/alerts.yml: " + where, text) for where, text in expressions_of(yaml.safe_load(read("deploy", "prometheus", "alerts.yml")), "")]
    for where, text in seen:
        check_expression(where, text, metrics, literals)
    shown = " ".join(text for _, text in seen)
    for name in metrics:
        if yaml and name.startswith("eim_") and name not in shown:
            wrong("grafana/eim.json and prometheus/alerts.yml", f"neither shows {name}")
    for path in ["deploy/prometheus/alerts.yml", "deploy/prometheus/alerts.test.yml", "docs/deploy.md"]:
        for name in set(re.findall(r"\beim_[a-z0-9]\w+[a-z0-9]", read(path))):
            base = re.sub(r"_(bucket|count|sum)$", "", name)
            if name not in metrics and base not in metrics and not any(known.startswith(name + "_") for known in metrics):
                wrong(path, f"no metric {name}")


# --- configuration and commands

def known_variables():
    section, names = "", set()
    for line in read("eim-server", "src", "config", "default.toml").splitlines():
        if header := re.match(r"\[(\w+)\]", line):
            section = header.group(1)
        elif key := re.match(r"(\w+) = ", line):
            names.add(f"EIM__{section}__{key.group(1)}".upper())
    return names


def deploy_files():
    for folder, _, names in os.walk(HERE):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path) and "secrets" not in path.split(os.sep) and not name.endswith((".go", ".py", ".pyc")):
                yield os.path.relpath(path, ROOT)
    yield "docs/deploy.md"


def check_variables():
    known = known_variables()
    others = {"EIM_CONFIG", "EIM_FQDN", "EIM_ID", "EIM_CI_DIR", "EIM_API_KEY", "EIM_URL"}
    for path in deploy_files():
        text = read(path)
        for name in set(re.findall(r"\bEIM__[A-Z0-9_]+\b", text)) - {"EIM__SECTION__KEY", "EIM__"}:
            if name not in known:
                wrong(path, f"no configuration variable {name}")
        if not path.startswith("docs"):
            for name in set(re.findall(r"\bEIM_[A-Z][A-Z0-9_]*\b", text)) - others:
                wrong(path, f"who reads {name}?")


def check_commands():
    cli = read("eim-server", "src", "cli", "mod.rs")
    variants = re.search(r"enum Command \{(.*?)\n\}", cli, re.S).group(1)
    commands = {re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower() for name in re.findall(r"^    ([A-Z]\w+)", variants, re.M)}
    roles = {name.lower() for name in re.findall(r"^    (\w+),", re.search(r"enum Role \{(.*?)\n\}", read("eim-server", "src", "cli", "serve.rs"), re.S).group(1), re.M)}
    paths = set(re.findall(r'"(/\w+)"', read("eim-server", "src", "api", "routes.rs")))
    called = re.compile(r"(?:(?:ExecStart=\S*/|exec (?:\S+ )?|-- |sudo -u eim |`)eim-server |\bargs: \[|\bcommand: \[\"|^CMD \[\")([a-z][a-z-]*)", re.M)
    for path in deploy_files():
        text = read(path)
        for name in called.findall(text):
            if name not in commands:
                wrong(path, f"no command {name}")
        for role in re.findall(r"--role[ \",]+(\w+)", text):
            if role not in roles and role not in {"admin", "approver", "operator", "viewer"}:
                wrong(path, f"no role {role}")
        for probe in re.findall(r"(?:eim-healthcheck\", \"|\bpath: )(/\w+)", text):
            if probe not in paths:
                wrong(path, f"no route {probe}")
    defaults = read("eim-server", "src", "config", "default.toml")
    for port in ["8443", "8080"]:
        if f":{port}\"" not in defaults or port not in read("deploy", "Containerfile"):
            wrong("Containerfile", f"port {port} is not the default")


def check_stop_times():
    """Whatever stops a server leaves it the time that it takes."""
    defaults = read("eim-server", "src", "config", "default.toml")
    seconds = int(re.search(r"^shutdown_timeout_s = (\d+)", defaults, re.M).group(1)) + int(re.search(r"^\[outbound\].*?^timeout_ms = (\d+)", defaults, re.M | re.S).group(1)) // 1000 + 5
    for path in deploy_files():
        for found in re.findall(r"(?:TimeoutStopSec=|stop_grace_period: |terminationGracePeriodSeconds: )(\d+)", read(path)):
            if int(found) < seconds:
                wrong(path, f"{found} seconds to stop are less than {seconds}")
    # In Kubernetes the time runs from before the pause.
    values = read("deploy", "helm", "eim", "values.yaml")
    grace, pause = (int(re.search(rf"^{name}: (\d+)", values, re.M).group(1)) for name in ["terminationGracePeriodSeconds", "preStopSeconds"])
    if grace < pause + seconds:
        wrong("helm/eim/values.yaml", f"{grace} seconds to stop are less than the pause of {pause} and {seconds}")


def check_image():
    """What the image is built from is there, and let through by .dockerignore."""
    let_through = re.findall(r"^!(\S+)", read(".dockerignore"), re.M)
    copied = [name for line in re.findall(r"^COPY (?!--from)(?:--\S+ )*(.*) \S+$", read("deploy", "Containerfile"), re.M) for name in line.split()]
    for name in copied:
        if not os.path.exists(os.path.join(ROOT, name)):
            wrong("Containerfile", f"there is no {name}")
        if name not in let_through:
            wrong(".dockerignore", f"keeps {name} from the image")
    for name in set(let_through) - set(copied):
        wrong(".dockerignore", f"the image does not use {name}")


def check_units():
    units = sorted(glob.glob(os.path.join(HERE, "systemd", "*.service")))
    said = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=False).stdout if shutil.which("systemd-analyze") else ""
    version = re.match(r"systemd (\d+)", said)
    # Units outside of a running systemd.
    if not version or int(version.group(1)) < 250:
        left_out.append("the units (no systemd-analyze of 250 or later)")
        return
    with tempfile.TemporaryDirectory() as folder:
        for path in units:
            name = os.path.basename(path)
            with open(path, encoding="utf-8") as file, open(os.path.join(folder, name), "w", encoding="utf-8") as copy:
                # The program is not installed here.
                copy.write(file.read().replace("/usr/local/bin/eim-server", "/bin/true"))
            for what in [["verify"], ["security", "--offline=yes", "--threshold=20"]]:
                run = subprocess.run(["systemd-analyze", *what, os.path.join(folder, name)], capture_output=True, text=True, check=False)
                if run.returncode != 0 or what == ["verify"] and name in run.stderr:
                    said = [line for line in (run.stderr + run.stdout).splitlines() if what == ["verify"] or "Overall" in line]
                    wrong("systemd-analyze " + " ".join(what), f"{name}: {' '.join(said)}")


# --- forms

def check_forms():
    for path in deploy_files():
        if path.endswith(".json"):
            json.loads(read(path))
        if path.endswith((".yml", ".yaml")) and "templates" not in path and yaml:
            try:
                list(yaml.safe_load_all(read(path)))
            except yaml.YAMLError as error:
                wrong(path, error)
    if not yaml:
        left_out.append("YAML (no PyYAML)")


def check_compose():
    for name in ["embedded.yml", "production.yml"]:
        where = "compose/" + name
        compose = yaml.safe_load(read("deploy", "compose", name))
        for service, said in compose["services"].items():
            for secret in said.get("secrets", []):
                secret = secret["source"] if isinstance(secret, dict) else secret
                if secret not in compose["secrets"]:
                    wrong(where, f"{service}: no secret {secret}")
            for network in said.get("networks", []):
                if network not in compose["networks"]:
                    wrong(where, f"{service}: no network {network}")
            for other in said.get("depends_on", []):
                if other not in compose["services"]:
                    wrong(where, f"{service}: no service {other}")
            files = {secret for secret in said.get("secrets", []) if isinstance(secret, str)}
            for value in said.get("environment", {}).values():
                if str(value).startswith("/run/secrets/") and value.rsplit("/", 1)[1] not in files:
                    wrong(where, f"{service}: {value} is not mounted")
            if said["image"] == "eim-server":
                for key, value in {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}.items():
                    if said.get(key) != value:
                        wrong(where, f"{service}: {key} is not {value}")


# --- the chart

def renderer():
    if shutil.which("helm"):
        return lambda values: ["helm", "template", "test", CHART, *(part for path in values for part in ("-f", path))]
    library = "/usr/share/gocode/src/github.com/Masterminds/sprig"
    gopath = os.environ.get("EIM_DEPLOY_GOPATH", "/usr/share/gocode")
    if shutil.which("go") and (os.path.isdir(library) or "EIM_DEPLOY_GOPATH" in os.environ):
        folder = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        binary = os.path.join(folder, "render")
        environment = dict(os.environ, GO111MODULE="off", GOPATH=gopath, GOFLAGS="", GOCACHE=os.environ.get("GOCACHE", folder + "/cache"))
        subprocess.run(["go", "build", "-o", binary, os.path.join(HERE, "helm", "render", "main.go")], check=True, env=environment)
        return lambda values: [binary, CHART, *values]
    return None


EVERYTHING = {
    "eim": {"fqdn": "eim.example.com", "idType": "fqdn", "id": "eim.example.com"},
    "secrets": {"furtherSigningKeys": {"name": "eim-old-keys", "keys": ["a.pem", "b.pem"]}},
    "imagePullSecrets": [{"name": "pull"}],
    "config": {"EIM__OUTBOUND__ALLOW_HOSTS": "*.operator.example"},
    "front": {"autoscaling": {"enabled": True}, "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "eim", "operator": "Exists"}],
              "podAnnotations": {"a": "b"}, "affinity": {"nodeAffinity": {}}, "service": {"type": "ClusterIP", "annotations": {"c": "d"}}},
    "worker": {"autoscaling": {"enabled": True}, "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "eim", "operator": "Exists"}],
               "podAnnotations": {"a": "b"}, "affinity": {"nodeAffinity": {}}},
    "serviceAccount": {"annotations": {"e": "f"}},
    "networkPolicy": {"enabled": True, "apiFrom": [{"namespaceSelector": {}}]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "grafanaDashboard": {"enabled": True},
}
NEEDED = {"eim": {"fqdn": "eim.example.com", "id": "1.3.6.1.4.1.99999.1"}}
LITTLE = {**NEEDED, "ciRoots": {"configMap": ""}, "migration": {"enabled": False}, "serviceAccount": {"create": False},
          "front": {"podDisruptionBudget": None}, "worker": {"podDisruptionBudget": None}}


def check_chart():
    render = renderer()
    if not render:
        left_out.append("the chart (neither helm nor Go with sprig)")
        return
    with tempfile.TemporaryDirectory() as folder:
        def run(values):
            path = os.path.join(folder, "values.yaml")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(values, file)
            return subprocess.run(render([path]), capture_output=True, text=True, check=False)
        for missing in [{}, {"eim": {"fqdn": "eim.example.com"}}]:
            if run(missing).returncode == 0:
                wrong("helm/eim", f"renders with {missing}, though a value is missing")
        for name, values in [("needed", NEEDED), ("everything", EVERYTHING), ("little", LITTLE)]:
            rendered = run(values)
            if rendered.returncode != 0:
                wrong("helm/eim", f"{name}: {rendered.stderr.strip()}")
                continue
            try:
                objects = [found for found in yaml.safe_load_all(rendered.stdout) if found]
            except yaml.YAMLError as error:
                wrong("helm/eim", f"{name}: {error}")
                continue
            check_objects(f"helm/eim ({name})", objects, values)
    text = " ".join(read(path) for path in deploy_files() if path.endswith("values.yaml"))
    if re.search(r"^\s*\w*(password|token|pin)\w*:\s*[^\s#]", text, re.M | re.I):
        wrong("helm/eim/values.yaml", "a secret stands in it")
    if shutil.which("helm"):
        lint = subprocess.run(["helm", "lint", CHART, "--set", "eim.fqdn=a.example,eim.id=1.2.3"], capture_output=True, text=True, check=False)
        if lint.returncode != 0:
            wrong("helm lint", lint.stdout)


def check_objects(where, objects, values):
    kinds = sorted((thing["kind"], thing["metadata"]["name"]) for thing in objects)
    if len(kinds) != len(set(kinds)):
        wrong(where, f"a name twice: {kinds}")
    expected = {"Deployment": 2, "Service": 3, "Job": 1, "PodDisruptionBudget": 2, "ServiceAccount": 1}
    if values is EVERYTHING:
        expected.update({"HorizontalPodAutoscaler": 2, "NetworkPolicy": 2, "ServiceMonitor": 1, "PrometheusRule": 1, "ConfigMap": 1})
    if values is LITTLE:
        expected = {"Deployment": 2, "Service": 3}
    counts = {kind: sum(1 for found, _ in kinds if found == kind) for kind, _ in kinds}
    if counts != expected:
        wrong(where, f"objects {counts}, expected {expected}")
    pods = [(thing, thing["spec"]["template"]) for thing in objects if thing["kind"] in ("Deployment", "Job")]
    for thing, template in pods:
        check_pod(f"{where} {thing['metadata']['name']}", thing, template)
    for thing in objects:
        spec = thing.get("spec", {})
        name = f"{where} {thing['kind']} {thing['metadata']['name']}"
        selector = spec.get("podSelector", spec.get("selector", {})) if thing["kind"] != "Job" else {}
        selector = selector.get("matchLabels", selector)
        if thing["kind"] in ("Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment"):
            chosen = [template for _, template in pods if selector.items() <= template["metadata"]["labels"].items()]
            if len(chosen) != 1:
                wrong(name, f"chooses {len(chosen)} kinds of pods")
            elif thing["kind"] == "Service":
                ports = {port["name"] for port in chosen[0]["spec"]["containers"][0]["ports"]}
                for port in spec["ports"]:
                    if port["targetPort"] not in ports:
                        wrong(name, f"no port {port['targetPort']}")
        if thing["kind"] == "HorizontalPodAutoscaler" and ("Deployment", spec["scaleTargetRef"]["name"]) not in kinds:
            wrong(name, "scales nothing")
        if thing["kind"] == "ServiceMonitor":
            services = [found for found in objects if found["kind"] == "Service" and found["metadata"]["labels"]["app.kubernetes.io/component"] in spec["selector"]["matchExpressions"][0]["values"]]
            if len(services) != 2 or any(port["name"] != "monitoring" for found in services for port in found["spec"]["ports"]):
                wrong(name, "does not find fronts and workers")
        if thing["kind"] == "PrometheusRule" and spec != yaml.safe_load(read("deploy", "prometheus", "alerts.yml")):
            wrong(name, "other rules than prometheus/alerts.yml")
        if thing["kind"] == "ConfigMap" and json.loads(thing["data"]["eim.json"]) != json.loads(read("deploy", "grafana", "eim.json")):
            wrong(name, "another dashboard than grafana/eim.json")
        if thing["kind"] == "Secret":
            wrong(name, "secrets are not the chart's")


def check_pod(where, thing, template):
    pod, known = template["spec"], known_variables()
    container = pod["containers"][0]
    if pod["securityContext"].get("runAsNonRoot") is not True or pod["securityContext"]["seccompProfile"] != {"type": "RuntimeDefault"}:
        wrong(where, "pod securityContext")
    if container["securityContext"] != {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}:
        wrong(where, "container securityContext")
    if not container["resources"].get("requests") or not container["resources"].get("limits"):
        wrong(where, "no resources")
    names = [variable["name"] for variable in container["env"]]
    if len(names) != len(set(names)):
        wrong(where, f"a variable twice: {names}")
    for variable in container["env"]:
        if variable["name"] not in known:
            wrong(where, f"no configuration variable {variable['name']}")
        if variable["name"] in ("EIM__STORE__URL", "EIM__QUEUE__URL") and "secretKeyRef" not in variable.get("valueFrom", {}):
            wrong(where, f"{variable['name']} is not from a Secret")
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    mounts = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", [])}
    if volumes != set(mounts):
        wrong(where, f"volumes {volumes} are not the mounts {set(mounts)}")
    for variable in container["env"]:
        for path in str(variable.get("value", "")).split(","):
            if path.startswith("/etc/eim/") and not any(path == mount or path.startswith(mount + "/") for mount in mounts.values()):
                wrong(where, f"{path} is not mounted")
    for volume in pod.get("volumes", []):
        if "secret" in volume and volume["secret"].get("defaultMode") != 0o400:
            wrong(where, f"{volume['name']}: defaultMode")
    if thing["kind"] == "Deployment":
        for probe, path in [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]:
            if container[probe]["httpGet"] != {"path": path, "port": "monitoring"}:
                wrong(where, probe)
        front = {"EIM__EIM__SIGNING_KEY", "EIM__SECRETS__KEY", "EIM__ESIPA__TLS_CERTIFICATE", "EIM__ESIPA__TLS_KEY"}
        if "front" in container["args"] and not front <= set(names):
            wrong(where, "a front refuses to start without its keys")


# --- rules

def check_rules():
    promtool = shutil.which("promtool")
    if not promtool:
        left_out.append("the rules' tests (no promtool)")
        return
    for what in [["check", "rules", "alerts.yml"], ["check", "config", "prometheus.yml"], ["test", "rules", "alerts.test.yml"]]:
        run = subprocess.run([promtool, *what], cwd=os.path.join(HERE, "prometheus"), capture_output=True, text=True, check=False)
        if run.returncode != 0:
            wrong("promtool " + " ".join(what), run.stdout + run.stderr)


def main():
    check_forms()
    check_metrics()
    check_variables()
    check_commands()
    check_stop_times()
    check_image()
    check_units()
    if yaml:
        check_compose()
        check_chart()
    check_rules()
    for what in left_out:
        print(f"not checked: {what}")
    for problem in problems:
        print(problem)
    if problems or ("--require" in sys.argv and left_out):
        sys.exit(1)
    print("the files of deploy/ fit the source")


if __name__ == "__main__":
    main()
