"""What is deployed says the same everywhere, and is of the shape that its tools read."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from splitfer.cloud_server.admission.bounds import IDLE_BYTES, memory_wanted_bytes
from splitfer.cloud_server.cli import _parser
from splitfer.cloud_server.config import CloudConfig
from splitfer.cloud_server.ray_serve.engine import SERVICES

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def manifest(kind: str) -> Any:
    return next(found for found in map(read, MANIFESTS) if found["kind"] == kind)


COMPOSE = read(ROOT / "docker-compose.yml")
SECURE = read(DEPLOY / "compose.secure.yml")
POD = manifest("Deployment")["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("kubernetes", ["1.29", "1.34"])
def test_manifests_are_what_kubernetes_reads(path: Path, kubernetes: str) -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    validate(read(path), kubernetes, strict=True)


@pytest.mark.parametrize("name", ["docker-compose.yml", "deploy/compose.secure.yml"])
def test_the_compose_files_are_what_docker_reads(name: str) -> None:
    schemas = pytest.importorskip("check_jsonschema.builtin_schemas")
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(read(ROOT / name), schemas.get_builtin_schema("vendor.compose-spec"))


def test_kubernetes_and_compose_run_the_same_images() -> None:
    services = COMPOSE["services"]
    assert services["cloud"]["image"] == CONTAINER["image"] == f"splitfer-cloud:{VERSION}"
    assert services["edge"]["image"] == f"splitfer-edge:{VERSION}"
    for name in ("cloud", "edge"):
        dockerfile = (ROOT / services[name]["build"]["dockerfile"]).read_text()
        assert "\nUSER 65534:65534\n" in dockerfile
        assert "\nHEALTHCHECK " in dockerfile
        assert services[name]["read_only"]
    ray = yaml.safe_load_all((DEPLOY / "ray" / "rayservice.yaml").read_text())
    assert f"splitfer-ray:{VERSION}" in str(list(ray))


def test_ports_are_the_servers() -> None:
    settings = yaml.safe_load(manifest("ConfigMap")["data"]["cloud.yaml"])
    config = CloudConfig(**settings)
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert ports == {"grpc": config.grpc_port, "http": config.http_port}
    service = {port["name"]: port for port in manifest("Service")["spec"]["ports"]}
    assert {name: port["port"] for name, port in service.items()} == ports
    assert {port["targetPort"] for port in service.values()} == set(ports)
    allowed = [rule["ports"] for rule in manifest("NetworkPolicy")["spec"]["ingress"]]
    assert {port["port"] for rule in allowed for port in rule} == set(ports)
    published = COMPOSE["services"]["cloud"]["ports"]
    assert published == [f"127.0.0.1:{port}:{port}" for port in ports.values()]
    assert POD["metadata"]["annotations"]["prometheus.io/port"] == str(config.http_port)


def test_every_probe_reads_the_settings_that_the_server_reads() -> None:
    # A path and a port alone would fail for ever once TLS or another port is set.
    settings = CONTAINER["args"]
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        command, *words = CONTAINER[name]["exec"]["command"]
        assert command == "cloud-server"
        assert words[-2:] == settings
        arguments = _parser().parse_args(words)
        assert arguments.live == (name == "livenessProbe")
        assert CONTAINER[name]["timeoutSeconds"] > arguments.timeout_s
    for name in ("cloud", "edge"):
        image = (DEPLOY / f"Dockerfile.{name}").read_text()
        (check,) = re.findall(r"HEALTHCHECK [^\n]*\\\n    CMD (\[.*\])\n", image)
        side = {"cloud": "cloud-server", "edge": "edge-client"}[name]
        assert yaml.safe_load(check) == [side, "health", "--pid", "1"]
    assert "healthcheck" not in str(COMPOSE) + str(SECURE)  # the image's own


def test_services_start_again_and_fill_no_disk() -> None:
    for service in (*COMPOSE["services"].values(), *SECURE["services"].values()):
        assert service["restart"]
        assert service["mem_limit"]
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}


def test_the_secure_files_have_settings_of_the_server() -> None:
    service = SECURE["services"]["cloud"]
    assert service["image"] == CONTAINER["image"]
    text = (DEPLOY / "compose.secure.yml").read_text()
    block = text[text.index("# cloud.yaml:") : text.index("# After")]
    settings = yaml.safe_load(block.partition("\n")[2].replace("#", " "))
    config = CloudConfig(**settings)
    assert config.tls
    assert config.tokens
    unit = (DEPLOY / "systemd" / "splitfer-cloud.service").read_text()
    for line in re.findall(r"^Exec\w+=\S+/cloud-server (.*)$", unit, re.MULTILINE):
        _parser().parse_args(line.replace("$MAINPID", "1").split())
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert int(stop_s) > config.lame_duck_s + config.drain_s + 1


def test_the_proxy_closes_idle_connections_before_the_server_does() -> None:
    proxy = (DEPLOY / "nginx" / "splitfer.conf").read_text()
    (idle_s,) = re.findall(r"keepalive_timeout (\d+)s", proxy)
    assert int(idle_s) < CloudConfig().keep_alive_s
    (body_mb,) = re.findall(r"client_max_body_size (\d+)m", proxy)
    assert int(body_mb) * 2**20 > CloudConfig().limits.body_bytes


def test_metrics_are_asked_for_with_a_token() -> None:
    (job,) = read(DEPLOY / "prometheus" / "kubernetes.yml")["scrape_configs"]
    assert job["authorization"]["credentials_file"]
    (kept,) = [one for one in job["relabel_configs"] if one.get("action") == "keep"]
    assert kept["regex"] == f"{POD['metadata']['labels']['app']};http"


def test_a_pod_drains_before_it_is_killed() -> None:
    settings = yaml.safe_load(manifest("ConfigMap")["data"]["cloud.yaml"])
    grace_s = POD["spec"]["terminationGracePeriodSeconds"]
    assert settings["lame_duck_s"] > CONTAINER["readinessProbe"]["timeoutSeconds"]
    assert grace_s > settings["lame_duck_s"] + settings["drain_s"] + 1


def test_the_pod_may_do_nothing_that_it_need_not() -> None:
    assert POD["spec"]["automountServiceAccountToken"] is False
    assert POD["spec"]["securityContext"]["runAsNonRoot"]
    security = CONTAINER["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"]["drop"] == ["ALL"]
    assert manifest("NetworkPolicy")["spec"]["egress"] == []


def test_what_is_deployed_phones_nowhere() -> None:
    ort = {"ORT_DISABLE_TELEMETRY": "1"}
    ray = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9/",  # a cluster reports all the same
    }
    for name, wanted in (("cloud", ort | ray), ("edge", ort)):
        words = (DEPLOY / f"Dockerfile.{name}").read_text().split()
        assert {f"{key}={value}" for key, value in wanted.items()} <= set(words)
        assert COMPOSE["services"][name]["environment"] == ort
    assert ort.items() <= {e["name"]: e.get("value") for e in CONTAINER["env"]}.items()
    service = read(DEPLOY / "ray" / "rayservice.yaml")["spec"]["rayClusterConfig"]
    for group in (service["headGroupSpec"], *service["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        given = {e["name"]: e.get("value") for e in container["env"]}
        assert (ort | ray).items() <= given.items()
    grafana = COMPOSE["services"]["grafana"]["environment"]
    assert grafana["GF_ANALYTICS_REPORTING_ENABLED"] == "false"
    assert grafana["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"


def test_selectors_name_the_pods() -> None:
    labels = POD["metadata"]["labels"]
    deployment = manifest("Deployment")
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert manifest("Service")["spec"]["selector"] == labels
    assert manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    target = manifest("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])


def test_ray_files_configure_the_application() -> None:
    alone = read(DEPLOY / "ray" / "serve.yaml")
    service = read(DEPLOY / "ray" / "rayservice.yaml")
    for config in (alone, yaml.safe_load(service["spec"]["serveConfigV2"])):
        assert config["grpc_options"]["grpc_servicer_functions"] == [SERVICES]
        (application,) = config["applications"]
        assert application["import_path"] == "splitfer.cloud_server.ray_app:app"
        CloudConfig(**application["args"])


def test_images_hold_wheels_alone() -> None:
    install = (DEPLOY / "install.sh").read_text()
    for line in re.findall(r"pip install[^\n]*(?:\\\n[^\n]*)*", install):
        assert "--only-binary :all:" in line or line.endswith((" .", "'pip>=26'"))
    assert "torch" not in install


def test_memory_limits_are_what_the_settings_want() -> None:
    settings = yaml.safe_load(manifest("ConfigMap")["data"]["cloud.yaml"])
    wanted = memory_wanted_bytes(CloudConfig(**settings))
    resources = CONTAINER["resources"]
    assert wanted <= int(resources["limits"]["memory"].removesuffix("Mi")) * 2**20
    assert int(resources["requests"]["memory"].removesuffix("Mi")) * 2**20 >= IDLE_BYTES
    for service in (COMPOSE["services"]["cloud"], SECURE["services"]["cloud"]):
        assert wanted <= int(service["mem_limit"].removesuffix("m")) * 2**20


def test_what_an_image_is_built_of_is_pinned() -> None:
    for side in ("cloud", "edge"):
        image = (DEPLOY / f"Dockerfile.{side}").read_text()
        assert "\nARG BASE_DIGEST=\n" in image
        assert re.findall(r"^FROM (\S+) AS base$", image, re.MULTILINE) == [
            "${BASE}${BASE_DIGEST:+@$BASE_DIGEST}"
        ]
        # Every stage is made of that one.
        assert re.findall(r"^FROM (?!\$)(\S+)", image, re.MULTILINE) == ["base", "base"]
    assert 'BASE_DIGEST=$digest"' in (DEPLOY / "images.sh").read_text()
    script = (DEPLOY / "install.sh").read_text()
    installs = re.findall(r"pip install ((?:[^\n]*\\\n)*[^\n]*)", script)
    fetched = [one for one in installs if "--no-deps" not in one]  # what is left is this project
    assert len(fetched) == len(installs) - 1 == 3
    assert all("--require-hashes" in one for one in fetched)


def test_the_pip_of_an_image_comes_with_its_hashes() -> None:
    (command,) = re.findall(
        r"sed -n '[^']+' requirements/dev.txt", (DEPLOY / "install.sh").read_text()
    )
    found = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    first, *hashes = found.splitlines()
    assert re.fullmatch(r"pip==\d+\S* \\", first)
    assert hashes
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes)
